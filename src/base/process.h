// What the operating system says of this process.
#pragma once

namespace wherry {

double peak_rss_mb();  // the most memory held at once so far, in 10^6 bytes

}  // namespace wherry

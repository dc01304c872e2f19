#if defined(__AVX2__)
// Another name for everything that is compiled here, so that a machine without AVX2 never meets it.
#define Eigen EigenAvx2
#define WHERRY_ALGEBRA avx2
#include "quantize/rounding/linear_algebra_body.h"
#endif

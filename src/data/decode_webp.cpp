#include "data/decoders.h"

#include <webp/demux.h>

namespace wherry {

namespace {

int orientation_of(const WebPDemuxer* demuxer) {
  WebPChunkIterator chunk{};
  int orientation = 1;
  if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk) != 0)
    orientation = exif_orientation(std::as_bytes(std::span(chunk.chunk.bytes, chunk.chunk.size)));
  WebPDemuxReleaseChunkIterator(&chunk);
  return orientation;
}

}  // namespace

Decoded decode_webp(std::span<const std::byte> file) {
  Decoded out;
  const WebPData data{reinterpret_cast<const std::uint8_t*>(file.data()), file.size()};
  WebPAnimDecoderOptions options;
  if (WebPAnimDecoderOptionsInit(&options) == 0) return {.fault = "libwebp is of another version than the one Wherry was built with"};
  options.color_mode = MODE_RGBA;
  const std::unique_ptr<WebPAnimDecoder, void (*)(WebPAnimDecoder*)> decoder(WebPAnimDecoderNew(&data, &options), WebPAnimDecoderDelete);
  WebPAnimInfo info;
  std::uint8_t* rgba = nullptr;
  int time = 0;
  if (!decoder || WebPAnimDecoderGetInfo(decoder.get(), &info) == 0) return {.fault = "it is no WebP picture, or truncated"};
  if (WebPAnimDecoderGetNext(decoder.get(), &rgba, &time) == 0) return {.fault = "its pixels are damaged or truncated"};
  out.image.width = static_cast<int>(info.canvas_width);
  out.image.height = static_cast<int>(info.canvas_height);
  const std::size_t pixels = std::size_t{info.canvas_width} * info.canvas_height;
  out.image.rgb.resize(pixels * 3);
  for (std::size_t i = 0; i < pixels; ++i)
    for (std::size_t c = 0; c < 3; ++c) out.image.rgb[i * 3 + c] = rgba[i * 4 + c];
  out.orientation = orientation_of(WebPAnimDecoderGetDemuxer(decoder.get()));
  return out;
}

}  // namespace wherry

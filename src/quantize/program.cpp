#include "quantize/program.h"

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

namespace wherry {

TflGraph tapped(TflGraph graph, const std::vector<int>& tensors) {
  graph.outputs.clear();
  for (const int id : tensors) graph.outputs.push_back({fmt::format("tap{}", graph.outputs.size()), id});
  return graph;
}

void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t, int)>& each) {
  std::atomic<std::size_t> next = 0;
  std::exception_ptr first;
  std::mutex lock;
  const auto work = [&](int worker) {
    try {
      for (std::size_t i = next++; i < count; i = next++) each(i, worker);
    } catch (...) {
      const std::scoped_lock hold(lock);
      if (!first) first = std::current_exception();
      next = count;
    }
  };
  std::vector<std::thread> others;
  for (int worker = 1; worker < threads && static_cast<std::size_t>(worker) < count; ++worker) others.emplace_back(work, worker);
  work(0);
  for (std::thread& other : others) other.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace wherry

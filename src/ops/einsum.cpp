#include "ops/einsum.h"

#include "base/text.h"
#include "ops/onnx.h"

#include <algorithm>

namespace wherry::ops::einsum {

namespace {

// A value and what its axes are called; the axes behind "…" have digits for names.
struct Term {
  ValueId value;
  std::string axes;
};

bool has(std::string_view axes, char name) { return axes.find(name) != std::string_view::npos; }

class Sum {
 public:
  Sum(Builder& b, const ForeignNode& node) : b_(b), node_(node) {}

  ValueId run(std::string equation, const std::vector<ValueId>& values) {
    std::erase(equation, ' ');
    const std::size_t arrow = equation.find("->");
    const std::vector<std::string> words = split(equation.substr(0, arrow), ',');
    if (words.size() != values.size()) fault(equation);
    std::vector<Term> terms;
    for (std::size_t i = 0; i < values.size(); ++i) terms.push_back(read(words[i], values[i], equation));
    std::string out = arrow == std::string::npos ? usual(terms) : named(equation.substr(arrow + 2));
    for (std::size_t i = 0; i < out.size(); ++i)
      if (std::none_of(terms.begin(), terms.end(), [&](const Term& t) { return has(t.axes, out[i]); }) || has(out.substr(i + 1), out[i]))
        fault(equation);
    for (Term& term : terms) term = without_repeats(term);
    while (terms.size() > 1) {
      std::string later = out;
      for (std::size_t i = 2; i < terms.size(); ++i) later += terms[i].axes;
      terms[1] = product(terms[0], terms[1], later);
      terms.erase(terms.begin());
    }
    return arranged(summed(terms[0], out), out);
  }

 private:
  [[noreturn]] void fault(const std::string& equation) const {
    refuse(node_, fmt::format("the equation '{}' of '{}' does not fit its inputs", equation, node_.target));
  }

  Sizes shape(ValueId v) { return onnx::static_shape(b_, node_, v); }

  // Letters, with the dots spelled out: the digits count from the last axis, so that operands of different ranks meet.
  std::string named(const std::string& word, std::size_t rank) {
    const std::size_t dots = word.find("...");
    if (dots == std::string::npos) return word;
    const std::size_t letters = word.size() - 3, hidden = rank - std::min(rank, letters);
    std::string digits;
    for (std::size_t i = hidden; i > 0; --i) digits += static_cast<char>('0' + i - 1);
    hidden_ = std::max(hidden_, hidden);
    return word.substr(0, dots) + digits + word.substr(dots + 3);
  }
  std::string named(const std::string& word) { return named(word, word.size() - std::min<std::size_t>(word.size(), 3) + hidden_); }

  Term read(const std::string& word, ValueId value, const std::string& equation) {
    Term term{value, named(word, static_cast<std::size_t>(onnx::rank(b_, value)))};
    if (static_cast<std::int64_t>(term.axes.size()) != onnx::rank(b_, value) || term.axes.size() > 9 + 52) fault(equation);
    return term;
  }

  // Without an arrow: the dots, then what stands once, by the alphabet.
  std::string usual(const std::vector<Term>& terms) {
    std::string all, out;
    for (const Term& term : terms) all += term.axes;
    for (std::size_t i = hidden_; i > 0; --i) out += static_cast<char>('0' + i - 1);
    std::sort(all.begin(), all.end());
    for (const char c : all)
      if (!std::isdigit(static_cast<unsigned char>(c)) && std::count(all.begin(), all.end(), c) == 1) out += c;
    return out;
  }

  // An axis that is named twice: its diagonal.
  Term without_repeats(Term term) {
    for (std::size_t i = 0; i < term.axes.size(); ++i)
      for (std::size_t j = i + 1; j < term.axes.size();) {
        if (term.axes[i] != term.axes[j]) {
          ++j;
          continue;
        }
        std::string order = term.axes.substr(i, 1) + std::string(1, '!');
        std::string rest = term.axes;
        rest.erase(j, 1), rest.erase(i, 1);
        const Sizes sizes = shape(term.value);
        Ints dims;
        for (std::size_t k = 0; k < sizes.size(); ++k)
          if (k != i && k != j) dims.push_back(static_cast<std::int64_t>(k));
        dims.insert(dims.end(), {static_cast<std::int64_t>(i), static_cast<std::int64_t>(j)});
        const ValueId turned = b_("permute", {term.value}, {{"dims", dims}});
        const ValueId flat = b_("flatten", {turned}, {{"start_dim", std::int64_t{-2}}, {"end_dim", std::int64_t{-1}}});
        std::vector<std::int64_t> diagonal;
        for (std::int64_t k = 0; k < sizes[i]; ++k) diagonal.push_back(k * (sizes[j] + 1));
        term = {b_("index_select", {flat, b_.ints(diagonal)}, {{"dim", std::int64_t{-1}}}), rest + order[0]};
        return without_repeats(term);
      }
    return term;
  }

  Term summed(Term term, const std::string& needed) {
    Ints gone;
    std::string left;
    for (std::size_t i = 0; i < term.axes.size(); ++i)
      if (has(needed, term.axes[i]))
        left += term.axes[i];
      else
        gone.push_back(static_cast<std::int64_t>(i));
    return gone.empty() ? term : Term{b_("sum", {term.value}, {{"dim", gone}, {"keepdim", false}}), left};
  }

  ValueId arranged(const Term& term, const std::string& order) {
    Ints dims;
    for (const char c : order) dims.push_back(static_cast<std::int64_t>(term.axes.find(c)));
    return std::is_sorted(dims.begin(), dims.end()) ? term.value : b_("permute", {term.value}, {{"dims", dims}});
  }

  // [shared…, rows, columns] of the axes named.
  ValueId matrix(const Term& term, const std::string& shared, const std::string& rows, const std::string& columns) {
    const Sizes sizes = shape(term.value);
    const auto size = [&](char c) { return sizes[term.axes.find(c)]; };
    Ints wanted;
    for (const char c : shared) wanted.push_back(size(c));
    for (const std::string& part : {rows, columns}) {
      wanted.push_back(1);
      for (const char c : part) wanted.back() *= size(c);
    }
    return b_("reshape", {arranged(term, shared + rows + columns)}, {{"shape", wanted}});
  }

  Term product(Term x, Term y, const std::string& later) {
    x = summed(x, later + y.axes), y = summed(y, later + x.axes);
    std::string shared, across, rows, columns;
    for (const char c : x.axes) (!has(y.axes, c) ? rows : has(later, c) ? shared : across) += c;
    for (const char c : y.axes)
      if (!has(x.axes, c)) columns += c;
    const Sizes of_x = shape(x.value), of_y = shape(y.value);
    const ValueId made = b_("matmul", {matrix(x, shared, rows, across), matrix(y, shared, across, columns)});
    Ints wanted;  // the shared axes broadcast
    for (const char c : shared) wanted.push_back(std::max(of_x[x.axes.find(c)], of_y[y.axes.find(c)]));
    for (const char c : rows) wanted.push_back(of_x[x.axes.find(c)]);
    for (const char c : columns) wanted.push_back(of_y[y.axes.find(c)]);
    return {b_("reshape", {made}, {{"shape", wanted}}), shared + rows + columns};
  }

  Builder& b_;
  const ForeignNode& node_;
  std::size_t hidden_ = 0;  // the most axes behind the dots
};

}  // namespace

std::vector<ValueId> convert_torch(Builder& b, const ForeignNode& node) {
  const ValueId y = Sum(b, node).run(word(node, "equation", ""), node.values("tensors"));
  return {y};
}

std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& node) {
  const std::vector<ValueId> values = onnx::inputs(node);
  const ValueId y = Sum(b, node).run(word(node, "equation", ""), values);
  return {std::find(values.begin(), values.end(), y) == values.end() ? y : b("identity", {y})};
}

}  // namespace wherry::ops::einsum

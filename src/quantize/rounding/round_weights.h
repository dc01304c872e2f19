// Rounding a weight matrix so that its products with the data change least, not its elements.
#pragma once

#include "quantize/rounding/gram.h"

namespace wherry {

// A matrix as integers: weight ≈ diag(scale) · codes.
struct Rounded {
  Matrix codes;
  Vector scale;
  Matrix reals() const { return scale.asDiagonal() * codes; }
};

// Rows are independent of each other: `threads` of them work at once, and the result does not depend on how many. Codes lie in
// [-limit, limit]; `moment` = E[x xᵀ], [in, in].
Rounded round_nearest(const Matrix& weight, const Vector& scale, float limit);

// What every rounding adds to a moment's diagonal, 1 % of its mean: directions that the data hardly show are not free.
float damping_of(const Matrix& moment);

// What GPTQ needs of a moment, damped, whatever the weights.
struct GptqMoment {
  std::vector<Eigen::Index> order;  // of the columns: of their energy
  Matrix factor;                    // the upper Cholesky factor of the inverse, in that order
};
GptqMoment gptq_moment(const Matrix& moment);

// GPTQ (arXiv 2210.17323, algorithm 1) from `scale` and from others around it; each row keeps the one with the least error. A short
// row (a depthwise kernel has nine weights) loses half of its error by that. Up to 64 are tried, as many as `work` multiply-adds allow.
Rounded round_gptq(const Matrix& weight, const Vector& scale, const GptqMoment& moment, float limit, double work, int threads = 1);
constexpr double little_work = 16e6, much_work = 256e6;

// AdaRound (arXiv 2004.10568): each weight goes up or down as a soft rounding decides that is trained on the Gram matrix instead of on
// images, and then takes single steps as long as these help. The same steps are taken from GPTQ's codes; each row has the better.
Rounded round_adaptive(const Matrix& weight, const Rounded& gptq, const Matrix& moment, float limit, int threads = 1);

Matrix product(const Matrix& a, const Matrix& b, int threads = 1);

// E|D x|² of each row, and of all: tr(D M Dᵀ).
Vector output_errors(const Matrix& difference, const Matrix& moment, int threads = 1);
double output_error(const Matrix& difference, const Matrix& moment, int threads = 1);

// argmin over W' of E|W' x - W f|² + pull·|W' - W|²; moments centred.
Matrix refit(const Matrix& weight, const Matrix& xx, const Matrix& fx, float pull, int threads = 1);

}  // namespace wherry

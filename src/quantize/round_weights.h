// Rounding a weight matrix so that its products with the data change least, not its elements.
#pragma once

#include "quantize/gram.h"

namespace wherry {

// Rows are independent of each other: `threads` of them work at once, and the result does not depend on how many.

// codes[o, i] in [-limit, limit] with scale[o]. `moment` = E[x xᵀ], [in, in]; damped by 1 % of its mean diagonal.
// GPTQ (arXiv 2210.17323, algorithm 1), columns in order of their energy.
Matrix round_gptq(const Matrix& weight, const Vector& scale, const Matrix& moment, float limit, int threads = 1);

// What GPTQ needs of a moment, whatever the weights.
struct GptqMoment {
  std::vector<Eigen::Index> order;  // of the columns
  Matrix factor;                    // the upper Cholesky factor of the inverse, in that order
};
GptqMoment gptq_moment(const Matrix& moment);
Matrix round_gptq(const Matrix& weight, const Vector& scale, const GptqMoment& moment, float limit, int threads = 1);

// AdaRound (arXiv 2004.10568): each weight goes up or down as a soft rounding decides that is trained on the Gram matrix instead of on
// images, and then takes single steps as long as these help. Rows that GPTQ and such steps serve better have those.
Matrix round_adaptive(const Matrix& weight, const Vector& scale, const Matrix& moment, float limit, int threads = 1);
Matrix round_nearest(const Matrix& weight, const Vector& scale, float limit);

Matrix product(const Matrix& a, const Matrix& b, int threads = 1);

// E|D x|² = tr(D M Dᵀ).
double output_error(const Matrix& difference, const Matrix& moment, int threads = 1);

// argmin over W' of E|W' x - W f|² + pull·|W' - W|²; moments centred.
Matrix refit(const Matrix& weight, const Matrix& xx, const Matrix& fx, float pull, int threads = 1);

}  // namespace wherry

// What a fit says about its parameters once it stands still.
#pragma once

#include "host/logistic_regression_newton.hpp"

namespace coterie::logistic_regression {

// Values without covariances.
void set_values(Model& model);

// Values, covariances and the standard errors of segment effects from the last sweep.
void set_estimates(Model& model, const Point& point, const Vector& precision, std::span<const float> scales);

}  // namespace coterie::logistic_regression

// The yardstick.
#include <Eigen/Dense>

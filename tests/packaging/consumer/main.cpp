#include <mql4grec/core/view.hpp>

int main() {
  float entries[6] = {0, 1, 2, 3, 4, 5};
  mql4grec::view<float, mql4grec::host_space, 2> const matrix(entries, 2, 3);
  return matrix(1, 2) == 5 ? 0 : 1;
}

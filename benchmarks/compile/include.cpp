#include <mql4grec/mql4grec.hpp>

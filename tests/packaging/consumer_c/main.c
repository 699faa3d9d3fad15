#include <mql4grec.h>
#include <stdio.h>

int main(void) {
  printf("mql4grec %s from C\n", mql4grec_version());
  return mql4grec_abi_version() != MQL4GREC_ABI_VERSION;
}

/* The shared library through dlopen, as a plugin would load it: loaded LIBRARY */
#include <dlfcn.h>
#include <mql4grec.h>
#include <stdio.h>
#include <string.h>

/* ISO C has no conversion from void* to a pointer to a function. */
static void look_up(void* library, char const* name, void* function) {
  void* const found = dlsym(library, name);
  if (!found) printf("%s is missing\n", name);
  memcpy(function, &found, sizeof found);
}

int main(int count, char** arguments) {
  if (count != 2) return 2;
  void* const library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    printf("%s\n", dlerror());
    return 1;
  }
  int32_t (*abi_version)(void) = NULL;
  mql4grec_status (*load)(char const*, char const*, mql4grec_load_options const*, mql4grec_recommender**) = NULL;
  char const* (*last_error)(void) = NULL;
  look_up(library, "mql4grec_abi_version", &abi_version);
  look_up(library, "mql4grec_load", &load);
  look_up(library, "mql4grec_last_error", &last_error);
  mql4grec_status (*put_in_sets)(mql4grec_recommender*, int32_t, char const* const*, size_t) = NULL;
  look_up(library, "mql4grec_put_in_sets", &put_in_sets);
  if (!abi_version || !load || !last_error || !put_in_sets) return 1;
  mql4grec_recommender* shop = NULL;
  if (abi_version() != MQL4GREC_ABI_VERSION || load("/nowhere", "/nowhere", NULL, &shop) != MQL4GREC_FILE_ERROR)
    return 1;
  if (put_in_sets(NULL, 0, NULL, 0) != MQL4GREC_INVALID_ARGUMENT || strstr(last_error(), "recommender is NULL") == NULL)
    return 1;
  if (load("/nowhere", "/nowhere", NULL, &shop) != MQL4GREC_FILE_ERROR) return 1;
  printf("version %d; %s\n", (int)abi_version(), last_error());
  return strstr(last_error(), "/nowhere") == NULL || dlclose(library) != 0;
}

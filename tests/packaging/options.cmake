# Options that can't have an effect are refused when a project is configured, with the reason.
cmake_policy(VERSION 3.25)
file(REMOVE_RECURSE "${WORK}")

function(refuses source reason)
  execute_process(COMMAND "${CMAKE_COMMAND}" -S "${source}" -B "${WORK}/${source}" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${COMPILER}"
    -DMQL4GREC_TESTS=OFF -DMQL4GREC_EXAMPLES=OFF -DMQL4GREC_BENCHMARKS=OFF -DMQL4GREC_DOCS=OFF -DMQL4GREC_GPU=OFF ${ARGN}
    RESULT_VARIABLE status OUTPUT_QUIET ERROR_VARIABLE message)
  string(REGEX REPLACE "[ \n]+" " " message "${message}")
  if(status EQUAL 0 OR NOT message MATCHES "${reason}")
    message(FATAL_ERROR "${ARGN}: status ${status}, expected '${reason}' in: ${message}")
  endif()
endfunction()

refuses("${REPOSITORY}" "MQL4GREC_FUZZ needs the tests" -DMQL4GREC_FUZZ=ON)
refuses("${REPOSITORY}" "MQL4GREC_SERVICE needs the program" -DMQL4GREC_FUZZ=OFF -DMQL4GREC_SERVICE=ON)
# as in a project that has found nlohmann/json for itself
set(without_json -DMQL4GREC_SERVICE=AUTO -DMQL4GREC_JSON=OFF -Dnlohmann_json_FOUND=1)
refuses("${REPOSITORY}" "MQL4GREC_C needs nlohmann/json" ${without_json} -DMQL4GREC_C=ON)
refuses("${REPOSITORY}" "MQL4GREC_RAW needs nlohmann/json" ${without_json} -DMQL4GREC_RAW=ON)
refuses("${CMAKE_CURRENT_LIST_DIR}/consumer" "the Python module isn't built within another project, consumer"
  -DWAY=add_subdirectory "-DREPOSITORY=${REPOSITORY}" -DMQL4GREC_PYTHON=ON)

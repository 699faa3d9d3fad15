# Runs COMMAND, which has to print what matches EXPECTED and to end with another status than 0.
execute_process(COMMAND ${COMMAND} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output
  ECHO_OUTPUT_VARIABLE ECHO_ERROR_VARIABLE)
if(status STREQUAL "0")
  message(FATAL_ERROR "exit status 0, expected another one")
endif()
if(NOT output MATCHES "${EXPECTED}")
  message(FATAL_ERROR "expected output that matches '${EXPECTED}'")
endif()

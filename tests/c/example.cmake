# Runs the example on what the test of the interface has left: it must end well, and print candidates.
execute_process(COMMAND "${PROGRAM}" "${WORK}/model" "${WORK}/Ring" OUTPUT_VARIABLE output ECHO_OUTPUT_VARIABLE COMMAND_ERROR_IS_FATAL ANY)
if(NOT output MATCHES "user 2: item [0-9]+, score -?[0-9.]+, codes( [0-9]+)+")
  message(FATAL_ERROR "the example prints no candidates of user 2")
endif()

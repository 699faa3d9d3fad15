# Runs the test with an empty dataset directory and no model directory.
file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}/Ring")
execute_process(COMMAND "${PROGRAM}" "${WORK}/Ring" "${WORK}/model" COMMAND_ERROR_IS_FATAL ANY)

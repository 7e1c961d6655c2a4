/* Values that compiled programs carry: none may ever change. */
#include <autoround/autoround.h>

_Static_assert(AUTOROUND_OK == 0 && AUTOROUND_DONE == 1, "status");
_Static_assert(AUTOROUND_ERROR_INVALID_ARGUMENT == -1 && AUTOROUND_ERROR_INVALID_STATE == -2, "status");
_Static_assert(AUTOROUND_ERROR_NOT_FOUND == -3 && AUTOROUND_ERROR_IO == -4 && AUTOROUND_ERROR_PARSE == -5, "status");
_Static_assert(AUTOROUND_ERROR_UNSUPPORTED == -6 && AUTOROUND_ERROR_OUT_OF_MEMORY == -7, "status");
_Static_assert(AUTOROUND_ERROR_DEVICE == -8 && AUTOROUND_ERROR_CANCELLED == -9, "status");
_Static_assert(AUTOROUND_ERROR_NUMERIC == -10 && AUTOROUND_ERROR_INTERNAL == -99, "status");
_Static_assert(AUTOROUND_STATE_CREATED == 0 && AUTOROUND_STATE_INITIALIZED == 1, "state");
_Static_assert(AUTOROUND_STATE_STARTED == 2 && AUTOROUND_STATE_ENDED == 3, "state");
_Static_assert(AUTOROUND_STATE_FINALIZED == 4 && AUTOROUND_STATE_FAILED == 5, "state");
_Static_assert(AUTOROUND_EVENT_PROGRESS == 1 && AUTOROUND_EVENT_BLOCK_BEGIN == 2, "event");
_Static_assert(AUTOROUND_EVENT_BLOCK_INPUTS == 4 && AUTOROUND_EVENT_ITERATION == 8 && AUTOROUND_EVENT_BLOCK_END == 16, "event");
_Static_assert(AUTOROUND_LOG_TRACE == 0 && AUTOROUND_LOG_INFO == 2 && AUTOROUND_LOG_OFF == 5, "log");
_Static_assert(sizeof(autoround_status) == 4 && sizeof(autoround_state) == 4 && sizeof(autoround_event_kind) == 4, "enums");

int main(void) { return 0; }

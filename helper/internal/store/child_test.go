package store

const (
	childEnv  = "KITH_STORE_TEST_DIR"
	childTask = "KITH_STORE_TEST_TASK"
)

func child(task, dir string) int { return 2 }

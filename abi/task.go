package abi

// Task is one unit of work as a guest receives it.
type Task struct {
	ID         string            // unique in the host's queue
	Key        string            // of this task and of no other, of any host, at any time; the same in each attempt; "" on a host that has none
	Kind       string            // what is asked for: a kind of the worker's own, or the name of a command it provides
	Payload    []byte            // one msgpack value, as submitted
	Attempt    int               // 1 on the first delivery
	DeadlineMS int64             // Unix time in milliseconds after which the host ends the task; 0 for none
	Handles    map[string]string // role to handle, as the operator configured it: source = "primary"
}

// TaskError is what a guest hands to task_return when its work fails. The code
// itself is what wasmhost_work returns.
type TaskError struct {
	Message string
	AfterMS int64 // with the code Later: run again after so many milliseconds; 0 leaves it to the host
}

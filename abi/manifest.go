package abi

// Manifest is what a module says of itself. In a module it is JSON in the
// custom section [ManifestSection]; a file NAME.toml beside a module without
// one says the same as TOML. Fields are only ever added.
type Manifest struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	Description string   `json:"description,omitempty"`
	Kinds       []string `json:"kinds,omitempty"` // kinds of task it works on
	Requests    Requests `json:"requests"`

	// Provides are the commands that the worker wants to answer.
	Provides []string `json:"provides,omitempty"`
	// On are names of events, or patterns, each of which is to become a task.
	On []string `json:"on,omitempty"`
	// Schedule are the tasks that it is to be given by the clock.
	Schedule []Schedule `json:"schedule,omitempty"`

	Limits *Needs `json:"limits,omitempty"`
	Retry  *Retry `json:"retry,omitempty"`

	// Isolation is task for a clean sandbox for each task, which the operator
	// may not weaken, or worker where kept ones will do. "" leaves it to the
	// operator.
	Isolation string `json:"isolation,omitempty"`
	// Atomic asks for all writes of a task in one transaction.
	Atomic bool `json:"atomic,omitempty"`

	// SelfTest is a task that the worker must pass before it is admitted, nil
	// for none. It runs without rows and commands, as compiled code and on the
	// interpreter, with the same random bytes and times, and must end alike.
	SelfTest *SelfTest `json:"self_test,omitempty"`
}

// SelfTest is the task of a [Manifest].
type SelfTest struct {
	Kind    string `json:"kind"`
	Payload any    `json:"payload,omitempty"` // JSON; nil for none
}

// Schedule is a task that comes back.
type Schedule struct {
	Cron     string         `json:"cron"` // minute hour day month weekday
	Kind     string         `json:"kind"`
	Payload  map[string]any `json:"payload,omitempty"`
	TimeZone string         `json:"time_zone,omitempty"` // such as Europe/Vienna; UTC if empty
	Missed   string         `json:"missed,omitempty"`    // skip, or once for one run to make up for it; skip if empty
}

// Needs are bounds that hold a worker to less than its operator would let it
// have. 0 leaves one to the operator.
type Needs struct {
	MemoryMB   int   `json:"memory_mb,omitempty"`   // of a sandbox
	DeadlineMS int64 `json:"deadline_ms,omitempty"` // of an attempt
	Fuel       int64 `json:"fuel,omitempty"`        // of an attempt
}

// Retry is how a worker's tasks are tried again.
type Retry struct {
	MaxAttempts int `json:"max_attempts,omitempty"` // at most; 0 leaves it to the operator
}

// Requests is what a worker asks to be granted. It gives nothing by itself.
type Requests struct {
	Data     map[string][]string `json:"data,omitempty"`     // handle to verbs: read, insert, update, delete
	Commands []string            `json:"commands,omitempty"` // names or patterns such as events/*
	Config   []string            `json:"config,omitempty"`   // keys or patterns such as archive.*

	// Events are names or patterns of events that it emits by the command
	// events/emit, beside its own: those whose names begin with the worker's
	// and a colon need no asking.
	Events []string `json:"events,omitempty"`

	// Collections asks for less than Data: handle to collection to rights. A
	// handle is in one of the two.
	Collections map[string]map[string]Rights `json:"collections,omitempty"`
	Queries     []string                     `json:"queries,omitempty"` // the operator's, by name
}

// Rights are what is asked for on one collection. ["*"] is all columns.
type Rights struct {
	Read   []string `json:"read,omitempty"`
	Insert []string `json:"insert,omitempty"`
	Update []string `json:"update,omitempty"`
	Delete bool     `json:"delete,omitempty"`
}

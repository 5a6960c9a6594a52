package abi

// Manifest is what a module says of itself. In a module it is JSON in the
// custom section [ManifestSection].
type Manifest struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	Description string   `json:"description,omitempty"`
	Kinds       []string `json:"kinds,omitempty"` // kinds of task it works on
	Requests    Requests `json:"requests"`

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

// Requests is what a worker asks to be granted. It gives nothing by itself.
type Requests struct {
	Data     map[string][]string `json:"data,omitempty"`     // handle to verbs: read, insert, update, delete
	Commands []string            `json:"commands,omitempty"` // names or patterns such as events/*
	Config   []string            `json:"config,omitempty"`   // keys or patterns such as archive.*
}

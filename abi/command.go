package abi

// Request is a call on the command path: one named command and its params.
// The answer is one msgpack value.
type Request struct {
	Name   string
	Params []byte // one msgpack map; nil for none
}

// Names of the commands that every host provides.
const (
	CommandPing         = "ping"
	CommandEmitEvent    = "events/emit"
	CommandGetConfig    = "config/get"
	CommandGetSession   = "session/get"
	CommandSetSession   = "session/set"
	CommandSubmitTask   = "tasks/submit"
	CommandListCommands = "commands/list"

	CommandDeleteSession = "session/delete"

	CommandEmbed    = "ai/embed"
	CommandGenerate = "ai/generate"
)

// Level is a log line's severity, as the import log takes it.
type Level uint32

// The levels of version 1.
const (
	Debug Level = iota
	Info
	Warn
	Severe // an error; the name Error is taken by the type
)

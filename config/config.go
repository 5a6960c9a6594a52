package config

import "time"

// Config is everything that can be configured. Durations are written as
// "1h30m", sizes as whole numbers of the unit in the key's name.
type Config struct {
	// StateDir is the folder of the host's own database, its id and its
	// compilation cache. Default "wasmhost-state".
	StateDir string `koanf:"state_dir"`

	// WorkersDir is the folder that holds the workers' .wasm files. Default
	// "workers".
	WorkersDir string `koanf:"workers_dir"`

	Log    Log    `koanf:"log"`
	Data   Data   `koanf:"data"`
	Engine Engine `koanf:"engine"`
	Queue  Queue  `koanf:"queue"`
	Web    Web    `koanf:"web"`

	// Orchestrator is a program that has commands of its own.
	Orchestrator Orchestrator `koanf:"orchestrator"`

	Command Command `koanf:"command"`

	// AI is which models the commands ai/embed and ai/generate ask.
	AI AI `koanf:"ai"`

	Admission Admission `koanf:"admission"`

	// Workers holds what is set and granted per worker, by the worker's name.
	// A worker that is not listed runs with the defaults and without grants.
	Workers map[string]Worker `koanf:"workers"`

	// Settings is a tree of free form that workers read with the command
	// config/get, as far as they are granted to: archive.batchSize. Case
	// counts, and a part of a key may not contain a dot.
	Settings map[string]any `koanf:"settings"`

	entries []Entry
	values  map[string]any // merged, by dotted key, nothing masked
	opts    Options        // what it was loaded from
	file    string         // that was looked for
}

// Log says what the host logs to its standard error.
type Log struct {
	// Level is debug, info, warn or error. Default info.
	Level string `koanf:"level"`
	// Format is text or json. Default text.
	Format string `koanf:"format"`
}

// Data is what workers can reach on the fast path.
type Data struct {
	// Adapter is daemon, for one store of each database that all tasks share,
	// or direct, for connections of its own for each task that runs. Default
	// daemon.
	Adapter string `koanf:"adapter"`
	// Handles are the databases, by the name that workers and grants use.
	Handles map[string]Handle `koanf:"handles"`
	// Queries are statements that workers can be granted, by name.
	Queries map[string]Query `koanf:"queries"`
}

// Query is a SELECT of the operator's that a worker runs by name.
type Query struct {
	// Handle is the database it reads. It must be set.
	Handle string `koanf:"handle"`
	// SQL is one statement that only reads, with parameters such as :room. It
	// must be set.
	SQL string `koanf:"sql"`
}

// The adapters.
const (
	Daemon = "daemon"
	Direct = "direct"
)

// Handle is one SQLite database.
type Handle struct {
	// Path is the database file. It must be set. Two handles may not share a
	// file unless both are read-only.
	Path string `koanf:"path"`
	// ReadOnly opens the file for reading only. Default false.
	ReadOnly bool `koanf:"read_only"`
	// BusyTimeout is how long to wait for another program's lock, 0 to 10m.
	// Default 5s.
	BusyTimeout time.Duration `koanf:"busy_timeout"`
	// Readers is the number of connections for reading, 1 to 64. Default 4.
	Readers int `koanf:"readers"`
	// Events are the collections whose changes by workers are told as events,
	// data:COLLECTION:created, updated and deleted. Default none.
	Events []string `koanf:"events"`
}

// Engine is how modules are compiled.
type Engine struct {
	// CompileCache keeps compiled modules in StateDir. Default true.
	CompileCache bool `koanf:"compile_cache"`
	// MaxModuleBytes is the largest .wasm file that is admitted, in bytes, 8
	// to 1 GiB. Default 67108864 (64 MiB).
	MaxModuleBytes int64 `koanf:"max_module_bytes"`
}

// Queue is how tasks are kept.
type Queue struct {
	// Retention is how long a finished task can still be looked at, 1m to
	// 87600h. Default 168h.
	Retention time.Duration `koanf:"retention"`
}

// Web is what the host shows over HTTP.
type Web struct {
	// Listen is the host:port that metrics are served on, at /metrics, without
	// authentication; an empty host is every interface. Default: not served.
	Listen string `koanf:"listen"`
}

// Orchestrator is who provides the commands that the host and its workers do
// not, and to whom events are delivered.
type Orchestrator struct {
	// Socket is the Unix socket that it serves. Default: there is none.
	Socket string `koanf:"socket"`
	// Timeout is the longest that a call may take, 1ms to 1h. Default 10s.
	Timeout time.Duration `koanf:"timeout"`
	// Connections is how many calls are made at a time, 1 to 256, beside the
	// delivery of events. Default 4.
	Connections int `koanf:"connections"`
	// MaxMessageBytes is the most of a request and of a reply, 1 KiB to 64
	// MiB. Default 1048576 (1 MiB).
	MaxMessageBytes int `koanf:"max_message_bytes"`
	// UnknownCommand are texts by which an error says that there is no such
	// command; {command} stands for its name. Default: those that are known.
	UnknownCommand []string `koanf:"unknown_command"`
	// KeyParam is the param by which a task's call of a command says which call
	// it is, so that one that comes again need not act again. Default: not said.
	KeyParam string `koanf:"key_param"`

	// ConfigGet and SessionGet are the commands config/get and session/get,
	// which the host answers unless a Command is set.
	ConfigGet  Question `koanf:"config_get"`
	SessionGet Question `koanf:"session_get"`

	Events Delivery `koanf:"events"`
}

// Question is a command of the host's that is asked of the orchestrator.
type Question struct {
	// Command is its name there. Default: not asked.
	Command string `koanf:"command"`
	// Param is the name of the one thing that is asked by. Default key and
	// sessionId.
	Param string `koanf:"param"`
	// IfUnknown is error, or builtin for the host's own answer when the
	// orchestrator has no such command. Default error.
	IfUnknown string `koanf:"if_unknown"`
}

// Delivery is which events are delivered, and how.
type Delivery struct {
	// Patterns are names of events, or patterns such as archive:*. Default: none.
	Patterns []string `koanf:"patterns"`
	// Command takes an event. Default "events/emit".
	Command string `koanf:"command"`
	// Attempts is how often an event that is refused is delivered before it is
	// skipped, 1 to 1000. Default 10.
	Attempts int `koanf:"attempts"`
}

// Command is how programs of the same machine call commands.
type Command struct {
	// Socket is a Unix socket on which whoever can connect may call every
	// command, as newline-delimited JSON, 96 bytes at most. Default: none.
	Socket string `koanf:"socket"`
	// SocketMode is 0600, 0660 or 0666. Default 0600.
	SocketMode string `koanf:"socket_mode"`
	// SocketGroup owns the socket: a name or a number. Default: the process's.
	SocketGroup string `koanf:"socket_group"`
}

// Admission is which modules are served, and how one takes the place of another.
type Admission struct {
	// NewWorkers is ask, for grants that wasmhost allow gives; manifest, for
	// giving every module in the folder what it asks for; or none, for the grants
	// of this configuration only. Default ask.
	NewWorkers string `koanf:"new_workers"`
	// RequireSignature refuses modules that no trusted key has signed. Default
	// false.
	RequireSignature bool `koanf:"require_signature"`
	// TrustedKeys are public keys of minisign. Default: none.
	TrustedKeys []string `koanf:"trusted_keys"`
	// Drain is how long tasks may go on with a version that is not served any
	// more, 0s to 24h. Default 10m.
	Drain time.Duration `koanf:"drain"`
	// WatchTasks is how many of a new version's first tasks may show that it
	// fails where the one before it did not, 0 to 1000. Default 20.
	WatchTasks int `koanf:"watch_tasks"`
}

// The policies for new workers.
const (
	TrustAsk      = "ask"
	TrustManifest = "manifest"
	TrustNone     = "none"
)

// Worker is what one worker may use.
type Worker struct {
	// Concurrency is how many tasks of the worker run at a time, 1 to 256.
	// Default 1.
	Concurrency int `koanf:"concurrency"`
	// Calls is how many calls of the commands that the worker provides run at a
	// time, beside its tasks, 1 to 256. Default 4.
	Calls int `koanf:"calls"`
	// MemoryMB is the most memory of one sandbox in MiB, 4 to 4096. Default 64.
	MemoryMB int `koanf:"memory_mb"`
	// Isolation is task, for a clean sandbox for every task, or worker, for
	// sandboxes that keep their memory from one task of the worker to its next.
	// Default task.
	Isolation string `koanf:"isolation"`
	// Atomic makes all writes of a task one transaction on one handle, which is
	// committed when the task succeeds and happens once, also when the host is
	// killed and the task delivered again. It keeps others from writing to that
	// database until the task ends. Default false.
	Atomic bool `koanf:"atomic"`
	// Deadline is the longest that one attempt of a task may take, 1ms to
	// 24h. Default 10m.
	Deadline time.Duration `koanf:"deadline"`
	// Fuel is the most guest work of one attempt, in units of about one
	// instruction, 0 to 1e15. 0 is no limit. Default 0.
	Fuel int64 `koanf:"fuel"`
	// MaxAttempts is how often a task is tried before it is given up, 1 to
	// 1000. Default 25.
	MaxAttempts int `koanf:"max_attempts"`
	// Handles maps the worker's roles to handles: source = "primary".
	Handles map[string]string `koanf:"handles"`
	// On are names of events, or patterns such as data:documents:*. Each such
	// event that others emit becomes a task of the worker, with the event's name
	// as its kind and the event's data as its payload.
	On []string `koanf:"on"`
	// Schedule are the times at which there is a task for the worker.
	Schedule []Schedule `koanf:"schedule"`
	Grants   Grants     `koanf:"grants"`
	Limits   Limits     `koanf:"limits"`

	// Socket is a Unix socket on which whoever can connect may give the worker
	// tasks, as newline-delimited JSON, 96 bytes at most. Default: none.
	Socket string `koanf:"socket"`
	// SocketMode is 0600, 0660 or 0666. Default 0600.
	SocketMode string `koanf:"socket_mode"`
	// SocketGroup owns the socket: a name or a number. Default: the process's.
	SocketGroup string `koanf:"socket_group"`
	// SocketShutdown lets clients make the socket take no more tasks until the
	// host starts again. Default false.
	SocketShutdown bool `koanf:"socket_shutdown"`
}

// Limits bound what one task of a worker can make the host hold or do. Reaching
// one fails the call with limit_exceeded and the key's name.
type Limits struct {
	// OpenCursors is the most queries open at a time, 1 to 1000. Default 16.
	OpenCursors int `koanf:"open_cursors"`
	// RequestBytes is the most of one query, head of a write or command, 1 KiB
	// to 1 GiB. Default 16777216 (16 MiB).
	RequestBytes int `koanf:"request_bytes"`
	// ResponseBytes is the most of one answer that is held until the guest
	// reads it, and of the rows of one write, 1 KiB to 1 GiB. Default 67108864
	// (64 MiB).
	ResponseBytes int `koanf:"response_bytes"`
	// ResultBytes is the most that a task may return, 1 to 1 MiB. Default
	// 1048576 (1 MiB).
	ResultBytes int `koanf:"result_bytes"`
	// Commands is the most calls of commands, events included, 1 to 1e9.
	// Default 1000000.
	Commands int `koanf:"commands"`
	// Events is the most events that are emitted, 1 to 1e9. Default 100000.
	Events int `koanf:"events"`
	// Tasks is the most tasks that are submitted, 1 to 1e6. Default 1000.
	Tasks int `koanf:"tasks"`
	// AITokens is the most tokens into and out of models, 0 to 1e15. 0 is no
	// limit. Default 0.
	AITokens int64 `koanf:"ai_tokens"`
	// AICostUSD is the most that models may cost, in US dollars, 0 to 1e9. 0 is
	// no limit. Default 0.
	AICostUSD float64 `koanf:"ai_cost_usd"`
	// NestedCalls is how many workers may wait for one another when the worker
	// is called by one, 1 to 64. Default 8.
	NestedCalls int `koanf:"nested_calls"`
	// TransferBytes is the most bytes to and from the guest, rows, commands
	// and all, 0 to 1e15. 0 is no limit. Default 0.
	TransferBytes int64 `koanf:"transfer_bytes"`
	// Rows is the most rows read and written together, 0 to 1e15. 0 is no
	// limit. Default 0.
	Rows int64 `koanf:"rows"`
	// LogLines is the most lines of log, printed ones included, 1 to 1e6; more
	// are dropped. Default 1000.
	LogLines int `koanf:"log_lines"`
}

// Grants is what a worker may do. What is not granted is refused.
type Grants struct {
	// Data maps a handle to what may be done on it, in one of the two forms
	// that [Grant] has.
	Data map[string]Grant `koanf:"data"`
	// Queries are names of data.queries.
	Queries []string `koanf:"queries"`
	// Commands are names, or patterns such as events/*.
	Commands []string `koanf:"commands"`
	// Config are keys below Settings, or patterns such as archive.*.
	Config []string `koanf:"config"`
	// Events are names, or patterns such as orders:*, of events that the worker
	// may emit, if it may call events/emit, beside those whose names begin with
	// its own and a colon. What the host itself tells, task: worker: config:
	// data: and outbox:, no worker may.
	Events []string `koanf:"events"`
	// Provides are the commands that the worker answers, for others and for
	// itself: embedding/query.
	Provides []string `koanf:"provides"`
}

// DefaultWorker returns what a worker that is not configured runs with: the
// default of every key, and no grants.
func DefaultWorker() Worker {
	return Worker{Concurrency: 1, Calls: 4, MemoryMB: 64, Isolation: "task", Deadline: 10 * time.Minute, MaxAttempts: 25, SocketMode: "0600",
		Limits: Limits{
			OpenCursors: 16, RequestBytes: 16 << 20, ResponseBytes: 64 << 20, ResultBytes: 1 << 20,
			Commands: 1_000_000, Events: 100_000, Tasks: 1000, NestedCalls: 8, LogLines: 1000,
		}}
}

// Worker returns what is configured for a worker, or [DefaultWorker].
func (c *Config) Worker(name string) Worker {
	if w, ok := c.Workers[name]; ok {
		return w
	}
	return DefaultWorker()
}

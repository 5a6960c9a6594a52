package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// write puts a file into a new folder and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "wasmhost.toml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const full = `
state_dir = "state"
workers_dir = "/srv/workers"

[log]
level = "debug"
format = "json"

[data]
adapter = "direct"

[data.handles.primary]
path = "primary.db"
busy_timeout = "250ms"
readers = 2

[data.handles.archive]
path = "/data/archive.db"
read_only = true

[engine]
compile_cache = false
max_module_bytes = 1048576

[queue]
retention = "24h"

[orchestrator]
socket = "router.sock"
timeout = "3s"
connections = 2
max_message_bytes = 4096
unknown_command = ["no {command}"]
config_get = { command = "settings/get", if_unknown = "builtin" }
session_get = { command = "session/get-user", param = "targetSessionId" }
events = { patterns = ["archive:*"], attempts = 3 }

[workers.archive]
concurrency = 2
memory_mb = 32
isolation = "worker"
limits = { commands = 7 }
socket = "/tmp/jtag-archive-worker.sock"
socket_mode = "0660"
socket_group = "staff"
socket_shutdown = true
deadline = "90s"
max_attempts = 3
handles = { source = "primary", dest = "archive" }

[workers.archive.grants]
commands = ["events/emit", "config/get"]
config = ["archive.*"]
queries = ["recent"]

[workers.archive.grants.data]
primary = ["read", "delete"]

[workers.archive.grants.data.archive.chat_messages]
read = ["id", "content"]
delete = false
where = [["room_id", "in", ["general", 7]], ["deleted", "is_null"]]

[workers.archive.grants.data.archive."odd.name"]
read = true

[data.queries.recent]
handle = "archive"
sql = "SELECT id FROM chat_messages WHERE at > :since"

[workers.idle]

[command]
socket = "wasmhost.sock"

[settings.archive]
batchSize = 1000
orderBy = { chat_messages = "timestamp" }
ratio = 0.5
since = 2024-05-01T10:00:00Z
day = 2024-05-01
`

func TestLoadFile(t *testing.T) {
	t.Parallel()
	name := write(t, full)
	dir := filepath.Dir(name)
	got, err := Load(Options{File: name})
	if err != nil {
		t.Fatal(err)
	}
	limits := DefaultWorker().Limits
	limits.Commands = 7
	idle := DefaultWorker()
	want := &Config{
		StateDir:   filepath.Join(dir, "state"),
		WorkersDir: "/srv/workers",
		Log:        Log{Level: "debug", Format: "json"},
		Data: Data{Adapter: Direct, Handles: map[string]Handle{
			"primary": {Path: filepath.Join(dir, "primary.db"), BusyTimeout: 250 * time.Millisecond, Readers: 2},
			"archive": {Path: "/data/archive.db", ReadOnly: true, BusyTimeout: 5 * time.Second, Readers: 4},
		}, Queries: map[string]Query{"recent": {Handle: "archive", SQL: "SELECT id FROM chat_messages WHERE at > :since"}}},
		Admission: Admission{NewWorkers: TrustAsk, Drain: 10 * time.Minute, WatchTasks: 20},
		AI:        AI{Embed: Use{ProviderStatic}, Generate: Use{ProviderExtractive}, Keep: 192 * time.Hour},
		Engine:    Engine{MaxModuleBytes: 1 << 20},
		Queue:     Queue{Retention: 24 * time.Hour},
		Orchestrator: Orchestrator{
			Socket: filepath.Join(dir, "router.sock"), Timeout: 3 * time.Second, Connections: 2, MaxMessageBytes: 4096,
			UnknownCommand: []string{"no {command}"},
			ConfigGet:      Question{Command: "settings/get", Param: "key", IfUnknown: "builtin"},
			SessionGet:     Question{Command: "session/get-user", Param: "targetSessionId", IfUnknown: "error"},
			Events:         Delivery{Patterns: []string{"archive:*"}, Command: "events/emit", Attempts: 3},
		},
		Command: Command{Socket: filepath.Join(dir, "wasmhost.sock"), SocketMode: "0600"},
		Workers: map[string]Worker{
			"archive": {
				Concurrency: 2, Calls: 4, MemoryMB: 32, Isolation: "worker", Deadline: 90 * time.Second, MaxAttempts: 3,
				Handles: map[string]string{"source": "primary", "dest": "archive"},
				Grants: Grants{
					Data: map[string]Grant{
						"primary": {Verbs: []string{"read", "delete"}},
						"archive": {Collections: map[string]Rights{"chat_messages": {
							Read: Columns{Names: []string{"id", "content"}},
							Where: []abi.Condition{
								{Column: "room_id", Op: abi.In, Value: []any{"general", int64(7)}}, {Column: "deleted", Op: abi.IsNull},
							},
						}, "odd.name": {Read: Columns{All: true}}}},
					},
					Queries:  []string{"recent"},
					Commands: []string{"events/emit", "config/get"},
					Config:   []string{"archive.*"},
				},
				Limits: limits,
				Socket: "/tmp/jtag-archive-worker.sock", SocketMode: "0660", SocketGroup: "staff", SocketShutdown: true,
			},
			"idle": idle,
		},
		Settings: map[string]any{"archive": map[string]any{
			"batchSize": int64(1000), "orderBy": map[string]any{"chat_messages": "timestamp"}, "ratio": 0.5,
			"since": "2024-05-01T10:00:00Z", "day": "2024-05-01",
		}},
	}
	got.entries, got.values, got.opts, got.file = nil, nil, Options{}, ""
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestLoadWithoutAnything(t *testing.T) {
	t.Chdir(t.TempDir()) // so not parallel
	got, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		StateDir: "wasmhost-state", WorkersDir: "workers",
		Log:       Log{Level: "info", Format: "text"},
		Data:      Data{Adapter: Daemon},
		Admission: Admission{NewWorkers: TrustAsk, Drain: 10 * time.Minute, WatchTasks: 20},
		AI:        AI{Embed: Use{ProviderStatic}, Generate: Use{ProviderExtractive}, Keep: 192 * time.Hour},
		Engine:    Engine{CompileCache: true, MaxModuleBytes: 64 << 20},
		Queue:     Queue{Retention: 168 * time.Hour},
		Orchestrator: Orchestrator{
			Timeout: 10 * time.Second, Connections: 4, MaxMessageBytes: 1 << 20,
			ConfigGet: Question{Param: "key", IfUnknown: "error"}, SessionGet: Question{Param: "sessionId", IfUnknown: "error"},
			Events: Delivery{Command: "events/emit", Attempts: 10},
		},
		Command: Command{SocketMode: "0600"},
	}
	for _, e := range got.Effective() {
		if e.Source != "default" {
			t.Errorf("%s came from %q, want the defaults", e.Key, e.Source)
		}
	}
	got.entries, got.values, got.opts, got.file = nil, nil, Options{}, ""
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if w := got.Worker("anyone"); !reflect.DeepEqual(w, DefaultWorker()) {
		t.Errorf("Worker of an unlisted name = %+v, want the defaults", w)
	}

	if err := os.WriteFile(DefaultFile, []byte(`log.level = "warn"`), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err = Load(Options{})
	if err != nil || got.Log.Level != "warn" {
		t.Errorf("with %s in the working directory: level %q, %v; want warn", DefaultFile, got.Log.Level, err)
	}
}

func TestLayersOverrideKeyByKey(t *testing.T) {
	t.Parallel()
	name := write(t, full)
	dir := filepath.Dir(name)
	cfg, err := Load(Options{
		Env: []string{
			"HOME=/root",
			"WASMHOST_CONFIG=" + name,
			"WASMHOST_LOG__LEVEL=error",
			"WASMHOST_STATE_DIR=from-env",
			"WASMHOST_DATA__HANDLES__PRIMARY__READERS=8",
			"WASMHOST_DATA__HANDLES__EXTRA__PATH=extra.db",
			"WASMHOST_ENGINE__COMPILE_CACHE=true",
			"WASMHOST_WORKERS__ARCHIVE__GRANTS__DATA__PRIMARY=read, delete",
			"WASMHOST_SETTINGS__archive__batchSize=500",
			"WASMHOST_SETTINGS__archive__names=[1, \"b\", 2.5]",
			"WASMHOST_SETTINGS__archive__note=hello",
		},
		Flags: map[string]string{"log.level": "warn"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Entry{
		"log.level":                      {Value: "warn", Source: "flag --log-level"},
		"log.format":                     {Value: "json", Source: "file " + name},
		"state_dir":                      {Value: "from-env", Source: "environment WASMHOST_STATE_DIR"},
		"data.handles.primary.readers":   {Value: int64(8), Source: "environment WASMHOST_DATA__HANDLES__PRIMARY__READERS"},
		"data.handles.primary.path":      {Value: filepath.Join(dir, "primary.db"), Source: "file " + name},
		"data.handles.primary.read_only": {Value: false, Source: "default"},
		"data.handles.extra.path":        {Value: "extra.db", Source: "environment WASMHOST_DATA__HANDLES__EXTRA__PATH"},
		"data.handles.extra.busy_timeout": {
			Value: "5s", Source: "default"},
		"engine.compile_cache":                {Value: true, Source: "environment WASMHOST_ENGINE__COMPILE_CACHE"},
		"workers.archive.grants.data.primary": {Value: []string{"read", "delete"}, Source: "environment WASMHOST_WORKERS__ARCHIVE__GRANTS__DATA__PRIMARY"},
		"workers.idle.deadline":               {Value: "10m", Source: "default"},
		"settings.archive.batchSize":          {Value: int64(500), Source: "environment WASMHOST_SETTINGS__archive__batchSize"},
		"settings.archive.names":              {Value: []any{int64(1), "b", 2.5}, Source: "environment WASMHOST_SETTINGS__archive__names"},
		"settings.archive.note":               {Value: "hello", Source: "environment WASMHOST_SETTINGS__archive__note"},
	}
	want["workers.archive.grants.data.archive"] = Entry{Source: "file " + name, Value: map[string]any{
		"chat_messages": map[string]any{"read": []string{"id", "content"}, "where": []any{
			[]any{"room_id", "in", []any{"general", int64(7)}}, []any{"deleted", "is_null"}}},
		"odd.name": map[string]any{"read": true},
	}}
	previous := ""
	for _, e := range cfg.Effective() {
		if e.Key <= previous {
			t.Errorf("%s stands after %s; want the list sorted", e.Key, previous)
		}
		previous = e.Key
		w, ok := want[e.Key]
		if !ok {
			continue
		}
		w.Key = e.Key
		if !reflect.DeepEqual(e, w) {
			t.Errorf("got %+v, want %+v", e, w)
		}
		delete(want, e.Key)
	}
	for key := range want {
		t.Errorf("%s is not listed", key)
	}
	if got := cfg.Data.Handles["primary"].Readers; got != 8 {
		t.Errorf("readers = %d, want the 8 that is listed", got)
	}
}

func TestSetting(t *testing.T) {
	t.Parallel()
	cfg, err := Load(Options{File: write(t, full)})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"archive.batchSize":             int64(1000),
		"archive.orderBy.chat_messages": "timestamp",
		"archive.orderBy":               map[string]any{"chat_messages": "timestamp"},
		"archive.batchsize":             nil,
		"archive.batchSize.x":           nil,
		"archive.":                      nil,
		"":                              nil,
	} {
		got, ok := cfg.Setting(key)
		if !reflect.DeepEqual(got, want) || ok != (want != nil) {
			t.Errorf("Setting(%q) = %v, %t; want %v", key, got, ok, want)
		}
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	handles := "[data.handles.primary]\npath = \"p.db\"\n[data.handles.archive]\npath = \"a.db\"\nread_only = true\n"
	tests := []struct {
		name  string
		toml  string
		env   []string
		flags map[string]string
		want  []string // parts of each problem's line, in order
	}{
		{name: "unknown key", toml: `wokers_dir = "x"`,
			want: []string{`wasmhost.toml: wokers_dir: unknown key (did you mean workers_dir?); allowed here: admission, ai, command, data, engine, log, orchestrator, queue, settings, state_dir, web, workers, workers_dir`}},
		{name: "unknown nested key", toml: "[data.handles.primary]\npath = \"p\"\nreadonly = true",
			want: []string{"data.handles.primary.readonly: unknown key (did you mean read_only?); allowed here: busy_timeout, events, path, read_only, readers"}},
		{name: "nothing like it", toml: `zzzzzzzz = 1`, want: []string{"zzzzzzzz: unknown key; allowed here:"}},
		{name: "wrong type", toml: "[workers.a]\nconcurrency = \"2\"",
			want: []string{`workers.a.concurrency: is "2"; allowed: a whole number from 1 to 256`}},
		{name: "out of range", toml: "[workers.a]\nmemory_mb = 2", want: []string{"workers.a.memory_mb: is 2; allowed: a whole number from 4 to 4096"}},
		{name: "duration without unit", toml: "[workers.a]\ndeadline = 30",
			want: []string{`workers.a.deadline: is 30; allowed: a duration from 1ms to 24h, such as "30s"`}},
		{name: "duration out of range", toml: "[workers.a]\ndeadline = \"25h\"", want: []string{`is "25h"; allowed: a duration from 1ms to 24h`}},
		{name: "no boolean", toml: "[engine]\ncompile_cache = 1", want: []string{"engine.compile_cache: is 1; allowed: true or false"}},
		{name: "no such adapter", toml: "[data]\nadapter = \"shared\"", want: []string{`data.adapter: is "shared"; allowed: one of daemon, direct`}},
		{name: "not one of", toml: "[log]\nlevel = \"loud\"", want: []string{`log.level: is "loud"; allowed: one of debug, info, warn, error`}},
		{name: "empty", toml: `state_dir = ""`, want: []string{`state_dir: is ""; allowed: a non-empty string`}},
		{name: "table for a value", toml: "[state_dir]\nx = 1", want: []string{"state_dir: is a table; allowed: a non-empty string"}},
		{name: "value for a table", toml: `log = "debug"`, want: []string{`log: is a table and cannot be set to "debug"`}},
		{name: "bad name", toml: "[workers.Archive]", want: []string{`workers.Archive: "Archive" cannot be a name; allowed: up to 64 lower-case`}},
		{name: "unknown verb", toml: handles + "[workers.a.grants.data]\nprimary = [\"read\", \"drop\"]",
			want: []string{`workers.a.grants.data.primary: is ["read", "drop"]; allowed: a list of delete, insert, read, update, or a table for each collection`}},
		{name: "grant that is a number", toml: handles + "[workers.a.grants.data]\nprimary = 1", want: []string{"workers.a.grants.data.primary: is 1; allowed"}},
		{name: "grant without a collection", toml: handles + "[workers.a.grants.data.primary]", want: []string{"workers.a.grants.data.primary: names no collection"}},
		{name: "collection without a grant", toml: handles + "[workers.a.grants.data.primary.t]\nread = false",
			want: []string{"workers.a.grants.data.primary.t: grants nothing; set one of delete, insert, read, update"}},
		{name: "collection that is a list", toml: handles + "[workers.a.grants.data.primary]\nt = [\"read\"]",
			want: []string{`workers.a.grants.data.primary.t: is ["read"]; allowed: a table with`}},
		{name: "unknown verb of a collection", toml: handles + "[workers.a.grants.data.primary.t]\nraed = true",
			want: []string{"workers.a.grants.data.primary.t.raed: unknown key (did you mean read?); allowed here: delete, insert, read, update, where"}},
		{name: "columns that are a text", toml: handles + "[workers.a.grants.data.primary.t]\nread = \"id\"",
			want: []string{`workers.a.grants.data.primary.t.read: is "id"; allowed: true for all columns, or a list of columns`}},
		{name: "no columns", toml: handles + "[workers.a.grants.data.primary.t]\nread = []", want: []string{"t.read: is []; allowed"}},
		{name: "deleting columns", toml: handles + "[workers.a.grants.data.primary.t]\ndelete = [\"id\"]", want: []string{`t.delete: is ["id"]; allowed: true or false`}},
		{name: "one condition without a list", toml: handles + "[workers.a.grants.data.primary.t]\nread = true\nwhere = [\"a\", \"=\", 1]",
			want: []string{`t.where: has the condition "a"; allowed: [column, operator, value]`}},
		{name: "no conditions", toml: handles + "[workers.a.grants.data.primary.t]\nread = true\nwhere = []", want: []string{"t.where: is []; allowed"}},
		{name: "condition with an unknown operator", toml: handles + "[workers.a.grants.data.primary.t]\nread = true\nwhere = [[\"a\", \"==\", 1]]",
			want: []string{`t.where: has the condition ["a", "==", 1]; allowed`}},
		{name: "condition without a value", toml: handles + "[workers.a.grants.data.primary.t]\nread = true\nwhere = [[\"a\", \"=\"]]", want: []string{"t.where: has"}},
		{name: "condition with a date", toml: handles + "[workers.a.grants.data.primary.t]\nread = true\nwhere = [[\"a\", \"=\", 2024-01-01]]", want: []string{"t.where: has"}},
		{name: "condition that is infinite", toml: handles + "[workers.a.grants.data.primary.t]\nread = true\nwhere = [[\"a\", \"<\", inf]]", want: []string{"t.where: has"}},
		{name: "condition with a NUL", toml: handles + "[workers.a.grants.data.primary.t]\nread = true\nwhere = [[\"a\", \"<\", \"\\u0000\"]]", want: []string{"t.where: has"}},
		{name: "condition in nothing", toml: handles + "[workers.a.grants.data.primary.t]\nread = true\nwhere = [[\"a\", \"in\", []]]", want: []string{"t.where: has"}},
		{name: "grant to write a collection of a read-only handle", toml: handles + "[workers.a.grants.data.archive.t]\nread = true\nupdate = [\"x\"]",
			want: []string{"workers.a.grants.data.archive: grants update, but data.handles.archive is read_only"}},
		{name: "grant by collection in the environment", env: []string{"WASMHOST_WORKERS__A__GRANTS__DATA__PRIMARY__T=read"},
			want: []string{"workers.a.grants.data.primary.t: unknown key: workers.a.grants.data.primary is a value"}},
		{name: "grant of an unknown query", toml: "[workers.a.grants]\nqueries = [\"q\"]", want: []string{`workers.a.grants.queries: has "q", which is no key of data.queries`}},
		{name: "query without anything", toml: handles + "[data.queries.q]",
			want: []string{"data.queries.q.sql: is missing; set it to a SELECT", "data.queries.q.handle: is missing; configured handles: archive, primary"}},
		{name: "query on an unknown handle", toml: handles + "[data.queries.q]\nsql = \"SELECT 1\"\nhandle = \"primry\"",
			want: []string{`data.queries.q.handle: is "primry", which is no handle`}},
		{name: "grant on an unknown handle", toml: handles + "[workers.a.grants.data]\nprimry = [\"read\"]",
			want: []string{`workers.a.grants.data.primry: grants on "primry", which is no handle; configured handles: archive, primary`}},
		{name: "grant to write on a read-only handle", toml: handles + "[workers.a.grants.data]\narchive = [\"read\", \"insert\"]",
			want: []string{"workers.a.grants.data.archive: grants insert, but data.handles.archive is read_only"}},
		{name: "role without a handle", toml: "[workers.a.handles]\nsource = \"primary\"",
			want: []string{`workers.a.handles.source: is "primary", which is no handle; no handle is configured`}},
		{name: "handle without a path", toml: "[data.handles.primary]", want: []string{"wasmhost.toml: data.handles.primary.path: is missing"}},
		{name: "two handles on one file", toml: "[data.handles.a]\npath = \"x.db\"\n[data.handles.b]\npath = \"./x.db\"",
			want: []string{"data.handles.b.path: is the same file as data.handles.a.path"}},
		{name: "path is a URL", toml: "[data.handles.a]\npath = \"postgres://me:hidden@db/x\"",
			want: []string{`is "postgres://********@db/x"; allowed: the path of a file`}},
		{name: "orchestrator without a socket", toml: "[orchestrator.events]\npatterns = [\"a:*\"]",
			want: []string{"orchestrator.events.patterns: needs orchestrator.socket"}},
		{name: "malformed pattern", toml: "[orchestrator]\nsocket = \"s\"\nevents.patterns = [\"a[\"]",
			want: []string{`orchestrator.events.patterns: has the malformed pattern "a["`}},
		{name: "neither error nor builtin", toml: "[orchestrator]\nsocket = \"s\"\nconfig_get.if_unknown = \"ignore\"",
			want: []string{`orchestrator.config_get.if_unknown: is "ignore"; allowed: one of error, builtin`}},
		{name: "socket path too long", toml: "[command]\nsocket = \"/" + strings.Repeat("s", 96) + "\"",
			want: []string{"97 bytes; allowed: a path of at most 96 bytes, which is what a socket's may have"}},
		{name: "socket path is long enough", toml: "[command]\nsocket = \"/" + strings.Repeat("s", 95) + "\"\nx = 1", want: []string{"command.x: unknown key"}},
		{name: "socket mode", toml: "[workers.a]\nsocket_mode = \"0777\"", want: []string{`workers.a.socket_mode: is "0777"; allowed: one of 0600, 0660, 0666`}},
		{name: "socket group that cannot connect", toml: "[workers.a]\nsocket_group = \"staff\"",
			want: []string{"workers.a.socket_group: has no effect with socket_mode 0600; allowed with 0660"}},
		{name: "two sockets on one path", toml: "[command]\nsocket = \"x.sock\"\n[workers.a]\nsocket = \"./x.sock\"",
			want: []string{"workers.a.socket: is the same path as command.socket"}},
		{name: "dotted setting", toml: "[settings]\n\"a.b\" = 1", want: []string{`"a.b" cannot be a key`}},
		{name: "infinite setting", toml: "[settings]\na = inf", want: []string{"settings.a: is +Inf; allowed below settings"}},
		{name: "settings is a value", toml: `settings = 5`, want: []string{"settings: is a table and cannot be set to 5"}},
		{name: "bad TOML", toml: "[log]\nlevel = ", want: []string{"wasmhost.toml: line 2, column "}},
		{name: "environment", env: []string{"WASMHOST_WORKERS__A__CONCURRENCY=many", "WASMHOST_LOG__LEVL=info"},
			want: []string{
				"environment WASMHOST_LOG__LEVL: log.levl: unknown key (did you mean level?)",
				`environment WASMHOST_WORKERS__A__CONCURRENCY: workers.a.concurrency: is "many"; allowed: a whole number`,
			}},
		{name: "environment below a value", env: []string{"WASMHOST_STATE_DIR__X=1"}, want: []string{"state_dir.x: unknown key: state_dir is a value"}},
		{name: "environment sets a table", env: []string{"WASMHOST_LOG=debug", "WASMHOST_SETTINGS=1"},
			want: []string{`log: is a table and cannot be set to "debug"`, "settings: settings are set one by one"}},
		{name: "environment twice", env: []string{"WASMHOST_LOG__LEVEL=info", "WASMHOST_Log__Level=warn"},
			want: []string{"log.level: is set by environment WASMHOST_LOG__LEVEL as well"}},
		{name: "environment overlaps", env: []string{"WASMHOST_SETTINGS__a=1", "WASMHOST_SETTINGS__a__b=2"},
			want: []string{"settings.a.b: cannot be set because environment WASMHOST_SETTINGS__a sets settings.a to a value"}},
		{name: "admission without keys", toml: "[admission]\nrequire_signature = true", want: []string{"admission.require_signature: needs admission.trusted_keys"}},
		{name: "admission with a key that is none", toml: "[admission]\nnew_workers = 'all'\ntrusted_keys = ['RWQ']",
			want: []string{"admission.new_workers: is \"all\"; allowed: one of ask, manifest, none"}},
		{name: "a key that is none", toml: "[admission]\ntrusted_keys = ['RWQ']", want: []string{"admission.trusted_keys: \"RWQ\" is no public key of minisign"}},
		{name: "flag", flags: map[string]string{"log.format": "xml"}, want: []string{`flag --log-format: log.format: is "xml"; allowed: one of text, json`}},
		{name: "everything at once", toml: "a = 1\n[log]\nlevel = 1", env: []string{"WASMHOST_B=1"}, flags: map[string]string{"log.level": "x"},
			want: []string{": a: unknown", "log.level: is 1", ": b: unknown", "flag --log-level"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(Options{File: write(t, tt.toml), Env: tt.env, Flags: tt.flags})
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want Problems", err)
			}
			if len(problems) != len(tt.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(problems), len(tt.want), err)
			}
			for i, want := range tt.want {
				if got := problems[i].String(); !strings.Contains(got, want) {
					t.Errorf("problem %d:\n got %s\nwant %s", i, got, want)
				}
				if !strings.Contains(err.Error(), tt.want[i]) {
					t.Errorf("Error() leaves out %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	big := write(t, strings.Repeat("#", maxFileBytes+1))
	for name, want := range map[string]string{
		filepath.Join(t.TempDir(), "none.toml"): "cannot be read: no such file",
		t.TempDir():                             "is not a file",
		big:                                     "a configuration has at most",
	} {
		for _, opts := range []Options{{File: name}, {Env: []string{EnvFile + "=" + name}}} {
			_, err := Load(opts)
			var problems Problems
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
				t.Errorf("Load(%+v) = %v, want %s", opts, err, want)
			}
		}
	}
}

func TestSecretsAreMasked(t *testing.T) {
	t.Parallel()
	cfg, err := Load(Options{File: write(t, `
[data.handles.key]
path = "key.db"
[settings]
plain = "visible"
maxTokens = 5
openUrl = "https://example.org/a@b"
[settings.mail]
apiKey = "hidden1"
SMTP_PASSWORD = "hidden2"
tokens = ["hidden3", "hidden4"]
url = "https://user:hidden5@example.org/x?q=1"
odd = "amqp://user:hid%den6@host:x/"
[[settings.accounts]]
name = "visible"
secret = "hidden7"
`)})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Entry{
		"settings.plain":              {Value: "visible"},
		"settings.maxTokens":          {Value: int64(5)},
		"settings.openUrl":            {Value: "https://example.org/a@b"},
		"settings.mail.apiKey":        {Value: Mask, Secret: true},
		"settings.mail.SMTP_PASSWORD": {Value: Mask, Secret: true},
		"settings.mail.tokens":        {Value: []any{Mask, Mask}, Secret: true},
		"settings.mail.url":           {Value: "https://" + Mask + "@example.org/x?q=1", Secret: true},
		"settings.mail.odd":           {Value: "amqp://" + Mask + "@host:x/", Secret: true},
		"settings.accounts":           {Value: []any{map[string]any{"name": "visible", "secret": Mask}}, Secret: true},
	}
	seen := 0
	for _, e := range cfg.Effective() {
		w, ok := want[e.Key]
		if !ok {
			if e.Secret {
				t.Errorf("%s = %v is masked, want it shown", e.Key, e.Value)
			}
			continue
		}
		seen++
		if !reflect.DeepEqual(e.Value, w.Value) || e.Secret != w.Secret {
			t.Errorf("%s: got %v, %t; want %v, %t", e.Key, e.Value, e.Secret, w.Value, w.Secret)
		}
	}
	if seen != len(want) {
		t.Errorf("saw %d of %d settings", seen, len(want))
	}
	if got, _ := cfg.Setting("mail.apiKey"); got != "hidden1" {
		t.Errorf("Setting gives the worker %v, want the secret itself", got)
	}
}

// The schema and the struct are written separately; this holds them together.
func TestSchemaMatchesConfig(t *testing.T) {
	t.Parallel()
	var compare func(typ reflect.Type, n *node, path string)
	compare = func(typ reflect.Type, n *node, path string) {
		switch {
		case n.free:
			if typ != reflect.TypeFor[map[string]any]() {
				t.Errorf("%s is free, its type is %v", path, typ)
			}
		case n.each != nil:
			if typ.Kind() != reflect.Map {
				t.Fatalf("%s has free names, its type is %v", path, typ)
			}
			compare(typ.Elem(), n.each, path+".*")
		case n.leaf != nil:
			want := map[kind]reflect.Type{
				kindString: reflect.TypeFor[string](), kindBool: reflect.TypeFor[bool](),
				kindDuration: reflect.TypeFor[time.Duration](), kindList: reflect.TypeFor[[]string](), kindGrant: reflect.TypeFor[Grant](),
				kindSchedules: reflect.TypeFor[[]Schedule](),
			}[n.leaf.kind]
			if n.leaf.kind == kindFloat {
				want = reflect.TypeFor[float64]()
				if n.leaf.def == nil {
					want = reflect.TypeFor[*float64]()
				}
			}
			if n.leaf.kind == kindInt && (typ.Kind() == reflect.Int || typ.Kind() == reflect.Int64) {
				want = typ
			}
			if typ != want {
				t.Errorf("%s has the type %v, want %v", path, typ, want)
			}
		default:
			tags := 0
			for i := range typ.NumField() {
				tag := typ.Field(i).Tag.Get("koanf")
				if tag == "" {
					continue
				}
				tags++
				child := n.keys[tag]
				if child == nil {
					t.Errorf("%s.%s is not in the schema", path, tag)
					continue
				}
				compare(typ.Field(i).Type, child, path+"."+tag)
			}
			if tags != len(n.keys) {
				t.Errorf("%s has %d fields and %d keys", path, tags, len(n.keys))
			}
		}
	}
	compare(reflect.TypeFor[Config](), schema(), "config")
}

func FuzzLoadTOML(f *testing.F) {
	f.Add(full)
	f.Add("settings = 1")
	f.Add("[data.handles.\"a.b\"]\npath = 1979-05-27")
	f.Add("workers = [{}]\n[settings]\na = [[1, {b = nan}], 07:32:00]")
	name := filepath.Join(f.TempDir(), "wasmhost.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(Options{File: name})
		var problems Problems
		if err != nil && !errors.As(err, &problems) {
			t.Fatalf("got %v (%T), want Problems", err, err)
		}
		if err == nil {
			cfg.Effective()
		}
	})
}

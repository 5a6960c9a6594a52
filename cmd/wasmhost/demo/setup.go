package demo

import (
	"fmt"
	"os"
	"strings"
)

// configText is the demo's wasmhost.toml. Paths are relative to it.
const configText = `# The configuration of wasmhost demo: an example of everything that a worker
# needs to be given. "wasmhost config show" prints the whole of it.

state_dir = "wasmhost-state"
workers_dir = "workers"

# The databases, by the names that workers know them by.
[data.handles.primary]
path = "primary.db"

[data.handles.archive]
path = "archive.db"

# What the worker in workers/archive.wasm may do. All else is refused.
[workers.archive]
handles = { source = "primary", dest = "archive" }

[workers.archive.grants]
commands = ["events/emit", "config/get", "session/get", "session/set"]
config = ["archive.*"]

[workers.archive.grants.data]
primary = ["read", "delete"]
archive = ["read", "insert", "update"]

# What workers read with the command config/get.
[settings.archive]
batchSize = 1000
`

// install puts the configuration and the worker into the folder.
func install(f files, wasm []byte) error {
	if err := os.WriteFile(f.config, []byte(configText), 0o644); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	if err := os.WriteFile(f.guest, wasm, 0o644); err != nil {
		return fmt.Errorf("copying the archive worker: %w", err)
	}
	return nil
}

// shellQuote returns a word as a POSIX shell takes it.
func shellQuote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

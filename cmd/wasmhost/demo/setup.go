package demo

import (
	"fmt"
	"os"
	"path/filepath"
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

# What the workers in the folder workers may do. All else is refused.
[workers.archive]
handles = { source = "primary", dest = "archive" }

[workers.archive.grants]
commands = ["events/emit", "config/get", "session/get", "session/set"]
config = ["archive.*"]

[workers.archive.grants.data]
primary = ["read", "delete"]
archive = ["read", "insert", "update"]

# It embeds the documents and answers embedding/query.
[workers.embedding.grants]
commands = ["events/emit", "config/get"]
config = ["embedding.*"]
provides = ["embedding/query"]
queries = ["documents_words", "documents_near"]

[workers.embedding.grants.data.primary.documents]
read = true
update = ["embedding", "embedding_model", "embedding_dim", "embedding_hash"]

# Queries that it may run by name; the SQL stays here.
[data.queries.documents_words]
handle = "primary"
sql = """
  SELECT rowid AS id FROM documents_fts
  WHERE documents_fts MATCH :words ORDER BY rank LIMIT :most"""

[data.queries.documents_near]
handle = "primary"
sql = """
  SELECT id, vec_distance_cosine(embedding, :vector) AS distance FROM documents
  WHERE embedding_model = :model AND length(embedding) = length(:vector)
  ORDER BY distance NULLS LAST, id LIMIT :most"""

# What workers read with the command config/get.
[settings.archive]
batchSize = 1000

[settings.embedding]
batchSize = 500
`

// guests are the modules of the demo's workers, by name.
type guests map[string][]byte

// guestNames are the workers that the demo runs.
var guestNames = []string{"archive", "embedding"}

func readGuests(dir string) (guests, error) {
	g := guests{}
	for _, name := range guestNames {
		wasm, err := os.ReadFile(filepath.Join(dir, name+".wasm"))
		if err != nil {
			return nil, fmt.Errorf("reading the %s worker: %w; build it with: make build", name, err)
		}
		g[name] = wasm
	}
	return g, nil
}

// size is the bytes of all of them.
func (g guests) size() (n int64) {
	for _, wasm := range g {
		n += int64(len(wasm))
	}
	return n
}

// install puts the configuration and the workers into the folder.
func install(f files, g guests) error {
	if err := os.WriteFile(f.config, []byte(configText), 0o644); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	for name, wasm := range g {
		if err := os.WriteFile(f.guest(name), wasm, 0o644); err != nil {
			return fmt.Errorf("copying the %s worker: %w", name, err)
		}
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

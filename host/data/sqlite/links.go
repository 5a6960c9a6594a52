package sqlite

import (
	"strings"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

// linkKind is what a write to one table does to another through foreign keys.
type linkKind int

const (
	unlinked linkKind = iota
	parent            // it is looked at
	child             // rows follow: ON DELETE CASCADE and the like
)

// allows says whether SQLite does this to a table in order to keep foreign
// keys. It is not asked for by the statement, and has no name to be told by.
func (k linkKind) allows(action int32) bool {
	switch action {
	case sqlite3.SQLITE_READ:
		return k != unlinked
	case sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE:
		return k == child
	}
	return false
}

// reach is what a write to a table can bring about elsewhere.
type reach struct {
	linked   map[string]linkKind // by foreign keys, the table itself included if there are any
	triggers bool                // there are triggers on the table or on one whose rows follow
}

const triggersSQL = `SELECT tbl_name FROM main.sqlite_schema WHERE type = 'trigger'`

const linksSQL = `SELECT m.name, f."table" FROM main.sqlite_schema m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`

// folded returns a name as it is compared here: a foreign key may name its
// parent in other letters than the parent does.
func folded(v lite.Value) string { return strings.ToLower(string(v.Bytes())) }

// does says whether a write does this to another table or, to keep foreign
// keys, to its own.
func (r *reach) does(u lite.Use) bool { return r.linked[strings.ToLower(u.Name)].allows(u.Action) }

// reachOf returns what a write to a table can bring about.
func (sc *schema) reachOf(c *conn, name string) (reach, error) {
	name = strings.ToLower(name)
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.links == nil {
		links, triggers := [][2]string{}, map[string]bool{}
		err := c.each(linksSQL, "", func(row *lite.Stmt) {
			links = append(links, [2]string{folded(row.Column(0)), folded(row.Column(1))})
		})
		if err == nil {
			err = c.each(triggersSQL, "", func(row *lite.Stmt) { triggers[folded(row.Column(0))] = true })
		}
		if err != nil {
			return reach{}, err
		}
		sc.links, sc.triggers = links, triggers
	}
	r := reach{linked: make(map[string]linkKind), triggers: sc.triggers[name]}
	for reached := []string{name}; len(reached) > 0; reached = reached[1:] {
		for _, link := range sc.links {
			switch {
			case link[1] == reached[0] && r.linked[link[0]] != child:
				r.linked[link[0]] = child
				r.triggers = r.triggers || sc.triggers[link[0]]
				reached = append(reached, link[0])
				if r.linked[link[1]] == unlinked {
					r.linked[link[1]] = parent
				}
			case link[0] == reached[0] && r.linked[link[1]] == unlinked:
				r.linked[link[1]] = parent
			}
		}
	}
	return r, nil
}

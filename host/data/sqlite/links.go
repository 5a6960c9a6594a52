package sqlite

import (
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

const linksSQL = `SELECT m.name, f."table" FROM main.sqlite_schema m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`

// linksOf returns the tables that a write to a table can reach through foreign
// keys, itself included if there are any.
func (sc *schema) linksOf(c *conn, name string) (map[string]linkKind, error) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.links == nil {
		links := [][2]string{}
		err := c.each(linksSQL, "", func(row *lite.Stmt) {
			links = append(links, [2]string{string(row.Column(0).Bytes()), string(row.Column(1).Bytes())})
		})
		if err != nil {
			return nil, err
		}
		sc.links = links
	}
	found := make(map[string]linkKind)
	for reached := []string{name}; len(reached) > 0; reached = reached[1:] {
		for _, link := range sc.links {
			switch {
			case link[1] == reached[0] && found[link[0]] != child:
				found[link[0]] = child
				reached = append(reached, link[0])
				if found[link[1]] == unlinked {
					found[link[1]] = parent
				}
			case link[0] == reached[0] && found[link[1]] == unlinked:
				found[link[1]] = parent
			}
		}
	}
	return found, nil
}

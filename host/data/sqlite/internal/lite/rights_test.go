package lite

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"
)

func TestRights(t *testing.T) {
	t.Parallel()
	c := open(t)
	if err := c.Exec("CREATE TABLE t (a, b)", "CREATE TABLE u (a)", "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO u VALUES (new.b); END"); err != nil {
		t.Fatal(err)
	}
	var uses []Use
	all := &Rights{ID: "all", Allow: func(u Use) bool { uses = append(uses, u); return true }}
	if _, err := c.Cached("INSERT INTO t (a) VALUES (1)", all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []Use{{Action: sqlite3.SQLITE_INSERT, Name: "t"}, {Action: sqlite3.SQLITE_INSERT, Name: "u", Within: "g"}, {Action: sqlite3.SQLITE_READ, Name: "t", Detail: "b", Within: "g"}} {
		found := false
		for _, u := range uses {
			found = found || u == want
		}
		if !found {
			t.Errorf("SQLite did not ask for %+v, but for %+v", want, uses)
		}
	}
	n := len(uses)
	if _, err := c.Cached("INSERT INTO t (a) VALUES (1)", all); err != nil || len(uses) != n {
		t.Errorf("it asked again for a statement that was there: %v, %v", uses[n:], err)
	}
	none := &Rights{ID: "none", Allow: func(Use) bool { return false }}
	var e *Error
	if _, err := c.Cached("INSERT INTO t (a) VALUES (1)", none); !errors.As(err, &e) || e.Primary() != sqlite3.SQLITE_AUTH {
		t.Errorf("without rights: %v", err)
	}
	if err := c.Exec("INSERT INTO t (a) VALUES (1)"); err != nil {
		t.Errorf("the host's own statement, afterwards: %v", err)
	}
	one := &Rights{ID: "all", Allow: none.Allow} // equal by its ID
	if _, err := c.Cached("INSERT INTO t (a) VALUES (1)", one); err != nil {
		t.Errorf("equal rights: %v", err)
	}
}

func TestOneStatement(t *testing.T) {
	t.Parallel()
	c := open(t)
	for sql, text := range map[string]string{
		"":                    "no statement",
		" -- nothing":         "no statement",
		";":                   "no statement",
		"SELECT 1":            "",
		" SELECT 1 ; \n":      "",
		"SELECT 1 -- so much": "",
		"SELECT 1;;":          "behind",
		"SELECT 1; SELECT 2":  "behind",
		"SELECT 1;é":          "behind",
		"SELECT 1\x00":        "NUL",
	} {
		s, err := c.Prepare(sql)
		if text == "" && err != nil || text != "" && (err == nil || !strings.Contains(err.Error(), text)) {
			t.Errorf("%q: %v, want %q", sql, err, text)
		}
		if err == nil {
			s.Finalize()
		}
	}
	s, err := c.Prepare("SELECT :a AS x, @b, ?, $c, :a AS \"é y\"")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Finalize()
	if got := s.Params(); !reflect.DeepEqual(got, []string{":a", "@b", "", "$c"}) {
		t.Errorf("parameters: %q", got)
	}
	if got := s.Columns(); len(got) != 5 || got[0] != "x" || got[4] != "é y" {
		t.Errorf("columns: %q", got)
	}
	if !s.ReadOnly() {
		t.Error("a SELECT is not read-only")
	}
}

package host_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/host/queue"
)

// TestDatabaseIsReplaced puts another file in the place of a database that the
// host has open: the next task works on that, and the old one has all that was
// written to it.
func TestDatabaseIsReplaced(t *testing.T) {
	t.Parallel()
	for _, adapter := range []string{"daemon", "direct"} {
		t.Run(adapter, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.adapter = adapter
			primary := w.open("primary.db")
			w.fill(primary, 30)
			rows := w.dump(primary)
			w.must(primary.Close())
			h, stop := w.start()
			archive := func() {
				t.Helper()
				if task := w.wait(h, w.submit(h, `{"collection":"chat_messages","keep":10}`)); task.State != queue.Completed {
					t.Fatalf("%+v", task)
				}
			}
			archive()

			w.makeTable("next.db")
			next := w.open("next.db")
			w.fill(next, 50)
			all := w.dump(next)
			w.must(next.Close())
			w.makeTable("empty.db")
			for _, end := range []string{"-shm", "-wal", ""} {
				w.must(os.Rename(w.path("archive.db"+end), w.path("archived.db"+end)))
			}
			w.must(os.Rename(w.path("empty.db"), w.path("archive.db")))
			w.must(os.Rename(w.path("primary.db"), w.path("kept.db")))
			w.must(os.Rename(w.path("next.db"), w.path("primary.db")))

			// The log of the old primary is in the way.
			task := w.wait(h, w.submit(h, `{"collection":"chat_messages","keep":10}`))
			if task.State != queue.Dead || !strings.Contains(fmt.Sprint(task.Errors), "unavailable") {
				t.Fatalf("with the old log beside the new file: %+v", task)
			}
			for _, end := range []string{"-shm", "-wal"} {
				w.must(os.Rename(w.path("primary.db"+end), w.path("kept.db"+end)))
			}
			archive()
			stop()
			for name, want := range map[string][]string{
				"kept.db": rows[20:], "archived.db": rows[:20],
				"primary.db": all[40:], "archive.db": all[:40],
			} {
				if diff := cmp.Diff(want, w.dump(w.open(name))); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
		})
	}
}

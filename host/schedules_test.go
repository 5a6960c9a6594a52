package host

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/host/worker"
)

// calendar is a host's state with schedules, and a clock of the test's own.
type calendar struct {
	*testing.T
	dir   string
	cfg   *config.Config
	state *State
}

func newCalendar(t *testing.T, toml string) *calendar {
	t.Helper()
	c := &calendar{T: t, dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(c.dir, "workers"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Only its name matters: nothing is run here.
	if err := os.WriteFile(filepath.Join(c.dir, "workers", "nightly.wasm"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.configure(toml)
	c.restart()
	return c
}

func (c *calendar) configure(toml string) {
	c.Helper()
	file := filepath.Join(c.dir, "wasmhost.toml")
	if err := os.WriteFile(file, []byte("state_dir = 'state'\nworkers_dir = 'workers'\n"+toml), 0o600); err != nil {
		c.Fatal(err)
	}
	cfg, err := config.Load(config.Options{File: file})
	if err != nil {
		c.Fatal(err)
	}
	c.cfg = cfg
}

// restart opens the state anew, as a host that is started again does.
func (c *calendar) restart() {
	c.Helper()
	if c.state != nil {
		if err := c.state.Close(); err != nil {
			c.Fatal(err)
		}
	}
	state, err := OpenState(c.Context(), c.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		c.Fatal(err)
	}
	c.state = state
	c.Cleanup(func() { _ = state.Close() })
}

func (c *calendar) time(text string) time.Time {
	c.Helper()
	t, err := time.Parse(time.DateTime, text)
	if err != nil {
		c.Fatal(err)
	}
	return t
}

// at looks at the schedules at a time, and returns when to look again.
func (c *calendar) at(text string) string {
	c.Helper()
	next, err := c.state.schedule(c.Context(), schedulesOf(configured(c.cfg)), c.time(text))
	if err != nil {
		c.Fatal(err)
	}
	return next.UTC().Format(time.DateTime)
}

// want says which tasks there must be, by what their keys end on, the oldest
// first.
func (c *calendar) want(due ...string) {
	c.Helper()
	tasks, err := c.state.Queue.List(c.Context(), queue.Filter{})
	if err != nil {
		c.Fatal(err)
	}
	slices.Reverse(tasks)
	var got []string
	for _, t := range tasks {
		got = append(got, strings.TrimPrefix(t.UniqueKey, "schedule:"))
	}
	if !slices.Equal(got, due) {
		c.Fatalf("tasks of %v, want %v", got, due)
	}
}

func daily(missed string) string {
	return fmt.Sprintf("[[workers.nightly.schedule]]\ncron = '0 3 * * *'\nmissed = '%s'\npayload = { keep = 5 }\n", missed)
}

func TestEachDueTimeIsOneTask(t *testing.T) {
	t.Parallel()
	c := newCalendar(t, daily("skip"))
	if next := c.at("2026-01-01 12:00:00"); next != "2026-01-02 03:00:00" {
		t.Errorf("looks again at %s", next)
	}
	c.want()
	c.at("2026-01-02 02:59:59")
	c.want()
	c.at("2026-01-02 03:00:00")
	c.want("nightly:2026-01-02T03:00:00Z")
	c.at("2026-01-02 03:00:00")
	c.restart()
	c.at("2026-01-02 03:00:01")
	c.want("nightly:2026-01-02T03:00:00Z")
	c.restart()
	c.at("2026-01-03 03:00:59") // late, and not missed
	c.want("nightly:2026-01-02T03:00:00Z", "nightly:2026-01-03T03:00:00Z")

	tasks, err := c.state.Queue.List(t.Context(), queue.Filter{Limit: 1})
	if err != nil || tasks[0].Worker != "nightly" || tasks[0].Kind != "nightly" || string(tasks[0].Payload) != `{"keep":5}` {
		t.Errorf("task %+v, %v", tasks, err)
	}
}

func TestMissedDueTimes(t *testing.T) {
	t.Parallel()
	for missed, want := range map[string][]string{
		"skip": nil,
		"once": {"nightly:2026-01-05T03:00:00Z"}, // in place of four
	} {
		c := newCalendar(t, daily(missed))
		c.at("2026-01-01 12:00:00")
		c.restart()
		c.at("2026-01-05 09:00:00")
		c.want(want...)
		c.at("2026-01-05 09:00:01")
		c.want(want...)
		c.at("2026-01-06 03:00:10")
		c.want(append(want, "nightly:2026-01-06T03:00:00Z")...)
	}
}

// TestTaskAndNoteAreOne: whatever keeps a due time from being noted, such as a kill
// before the commit, keeps its task from being there, and it is made up for once.
func TestTaskAndNoteAreOne(t *testing.T) {
	t.Parallel()
	c := newCalendar(t, daily("once"))
	c.at("2026-01-01 12:00:00")
	for _, when := range []string{"INSERT", "UPDATE"} {
		if _, err := c.state.db.Exec(`CREATE TRIGGER cut_` + when + ` BEFORE ` + when + ` ON schedule_due BEGIN SELECT raise(ABORT, 'cut off'); END`); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.state.schedule(t.Context(), schedulesOf(configured(c.cfg)), c.time("2026-01-02 03:00:00")); err == nil {
		t.Error("a due time that was not noted is no error")
	}
	c.want()
	c.restart()
	if _, err := c.state.db.Exec(`DROP TRIGGER cut_INSERT; DROP TRIGGER cut_UPDATE`); err != nil {
		t.Fatal(err)
	}
	c.at("2026-01-02 03:00:30")
	c.want("nightly:2026-01-02T03:00:00Z")
	due, err := c.state.Queue.Due(t.Context())
	if err != nil || len(due) != 1 || !due[0].Until.Equal(c.time("2026-01-02 03:00:00")) {
		t.Errorf("noted %+v, %v", due, err)
	}
}

// TestKilledBeforeTheNote: the task is there, and what was noted of it is lost.
func TestKilledBeforeTheNote(t *testing.T) {
	t.Parallel()
	for _, missed := range []string{"skip", "once"} {
		c := newCalendar(t, daily(missed))
		c.at("2026-01-01 12:00:00")
		before, err := c.state.Queue.Due(t.Context())
		if err != nil || len(before) != 1 {
			t.Fatal(before, err)
		}
		c.at("2026-01-02 03:00:00")
		tasks, err := c.state.Queue.List(t.Context(), queue.Filter{})
		if err != nil || len(tasks) != 1 {
			t.Fatal(tasks, err)
		}
		if _, err := c.state.Queue.Cancel(t.Context(), tasks[0].ID); err != nil { // an end like any other
			t.Fatal(err)
		}
		if err := c.state.Queue.SetDue(t.Context(), before[0]); err != nil {
			t.Fatal(err)
		}
		c.restart()
		for _, at := range []string{"2026-01-02 03:00:30", "2026-01-02 08:00:00"} {
			c.at(at)
			c.want("nightly:2026-01-02T03:00:00Z")
		}
	}
}

// A schedule that has changed owes nothing for the time before.
func TestChangedSchedule(t *testing.T) {
	t.Parallel()
	c := newCalendar(t, daily("once"))
	c.at("2026-01-01 12:00:00")
	c.configure(strings.Replace(daily("once"), "0 3", "0 4", 1))
	if next := c.at("2026-01-02 10:00:00"); next != "2026-01-03 04:00:00" {
		t.Errorf("looks again at %s", next)
	}
	c.want()
	c.configure("") // gone, and back
	if next := c.at("2026-01-02 10:00:00"); !strings.HasPrefix(next, "0001") {
		t.Errorf("looks again at %s", next)
	}
	c.configure(daily("once"))
	c.at("2026-01-04 10:00:00")
	c.want()
	c.at("2026-01-05 03:00:00")
	c.want("nightly:2026-01-05T03:00:00Z")
}

func TestClockThatWasWrong(t *testing.T) {
	t.Parallel()
	c := newCalendar(t, daily("skip"))
	c.at("2036-01-01 12:00:00")
	c.at("2026-01-01 12:00:00")
	c.at("2026-01-02 03:00:00")
	c.want("nightly:2026-01-02T03:00:00Z")
	c.at("2026-01-02 02:30:00") // set back by half an hour
	c.at("2026-01-02 03:00:00")
	c.want("nightly:2026-01-02T03:00:00Z")
}

// A schedule of a worker that is not there is no obstacle to the others.
func TestScheduleOfNoWorker(t *testing.T) {
	t.Parallel()
	c := newCalendar(t, "[[workers.absent.schedule]]\ncron = '0 3 * * *'\n"+daily("skip"))
	c.at("2026-01-01 12:00:00")
	c.at("2026-01-02 03:00:00")
	c.want("nightly:2026-01-02T03:00:00Z")
}

func TestDatabaseThatFails(t *testing.T) {
	t.Parallel()
	c := newCalendar(t, daily("skip"))
	c.at("2026-01-01 12:00:00")
	if _, err := c.state.db.Exec(`CREATE TRIGGER full BEFORE INSERT ON river_job BEGIN SELECT raise(ABORT, 'no'); END`); err != nil {
		t.Fatal(err)
	}
	now := c.time("2026-01-02 03:00:00")
	if next, err := c.state.schedule(t.Context(), schedulesOf(configured(c.cfg)), now); err == nil || abi.CodeOf(err) == abi.OK || !next.Equal(now) {
		t.Errorf("next %v, %v", next, err)
	}
	if _, err := c.state.db.Exec(`DROP TRIGGER full`); err != nil {
		t.Fatal(err)
	}
	c.at("2026-01-02 03:00:02")
	c.want("nightly:2026-01-02T03:00:00Z")
}

func TestSchedulesAreListed(t *testing.T) {
	t.Parallel()
	c := newCalendar(t, daily("skip")+"[[workers.nightly.schedule]]\nname = 'early'\ncron = '30 1 * * *'\ntime_zone = 'Europe/Berlin'\n")
	c.at("2026-01-01 12:00:00")
	infos, err := c.state.Schedules(t.Context(), c.time("2026-01-01 13:00:00"))
	if err != nil || len(infos) != 2 || infos[0].Name != "early" || infos[1].Name != "nightly" {
		t.Fatalf("%+v, %v", infos, err)
	}
	if got := infos[0].Next.Format(time.RFC3339); got != "2026-01-02T01:30:00+01:00" || !infos[0].Until.Equal(c.time("2026-01-01 12:00:00")) {
		t.Errorf("%+v", infos[0])
	}
}

// configured are the schedules in the configuration.
func configured(cfg *config.Config) map[string][]config.Schedule {
	plan := map[string][]config.Schedule{}
	for name, w := range cfg.Workers {
		plan[name] = w.Schedule
	}
	return plan
}

// A manifest's schedules come behind the configuration's, which has its own way
// with a kind.
func TestSchedulesOfAManifest(t *testing.T) {
	t.Parallel()
	own := config.Worker{Schedule: []config.Schedule{{Name: "nightly", Cron: "0 3 * * *", TimeZone: "UTC", Kind: "nightly", Missed: "skip"}}}
	m := &abi.Manifest{Schedule: []abi.Schedule{
		{Cron: "0 4 * * *", Kind: "nightly"}, // the operator has another time for it
		{Cron: "5 * * * *", Kind: "sweep", TimeZone: "Europe/Vienna", Missed: "once", Payload: map[string]any{"n": json.Number("3")}},
		{Cron: "35 * * * *", Kind: "sweep"},
	}}
	want := append(slices.Clone(own.Schedule),
		config.Schedule{Name: "sweep", Cron: "5 * * * *", TimeZone: "Europe/Vienna", Kind: "sweep", Missed: "once", Payload: json.RawMessage(`{"n":3}`)},
		config.Schedule{Name: "sweep 35 * * * *", Cron: "35 * * * *", TimeZone: "UTC", Kind: "sweep", Missed: "skip"},
	)
	if diff := cmp.Diff(want, configOf(own, m).Schedule); diff != "" {
		t.Error(diff)
	}
	missing := worker.AskOf(m).Missing(configAsk(own))
	if got := worker.Words(missing); got != "run by the clock: nightly at 0 4 * * * UTC; run by the clock: sweep at 5 * * * * Europe/Vienna; run by the clock: sweep at 35 * * * * UTC" {
		t.Errorf("asked for: %s", got)
	}
	if missing := worker.AskOf(m).Missing(worker.AskOf(m)); len(missing) != 0 {
		t.Errorf("given all of it, it misses %v", missing)
	}
}

package queue

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// leaveRunning puts a task into the state in which a host leaves it that dies.
func leaveRunning(t *testing.T, q *Queue, id, host string, attempt, interruptions int) {
	t.Helper()
	if _, err := q.db.ExecContext(t.Context(), `UPDATE river_job SET state = 'running', attempt = ?, attempted_at = datetime('now', 'subsec'),
		attempted_by = jsonb(?), metadata = jsonb_set(metadata, '$.interruptions', ?) WHERE id = ?`,
		attempt, `["elsewhere","`+host+`"]`, interruptions, id); err != nil {
		t.Fatal(err)
	}
}

func TestRecover(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	q := open(t, path)
	// Workers that this start does not serve, so that what recovery made of the
	// tasks can be looked at.
	for _, c := range []struct {
		name                   string
		host                   string
		attempt, interruptions int
		cancel                 bool
		state                  State
		wantAttempt            int
		failures               int
	}{
		{"first time", "host-a", 1, 0, false, Queued, 0, 1},
		{"last free time", "host-a", 2, 19, false, Queued, 1, 1},
		{"a time that counts", "host-a", 2, 20, false, Queued, 2, 1},
		{"no attempts left", "host-a", 3, 20, false, Dead, 3, 1},
		{"cancelled meanwhile", "host-a", 1, 0, true, Cancelled, 1, 1},
		{"another host's", "host-b", 1, 0, false, Running, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := submit(t, q, Submission{Worker: "nobody", MaxAttempts: 3})
			leaveRunning(t, q, id, c.host, c.attempt, c.interruptions)
			if c.cancel {
				if _, err := q.Cancel(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			again := open(t, path)
			if err := again.Start(t.Context(), nil, nothing); err != nil {
				t.Fatal(err)
			}
			stop(t, again)
			r := task(t, q, id)
			if r.State != c.state || r.Attempt != c.wantAttempt || len(r.Errors) != c.failures || r.State.Finished() == r.FinalizedAt.IsZero() {
				t.Errorf("got %+v", r)
			}
			if len(r.Errors) > 0 && (r.Errors[0].Code != abi.Interrupted || r.Errors[0].Attempt != c.attempt) {
				t.Errorf("got failure %+v", r.Errors[0])
			}
		})
	}
}

func TestRecoveredTaskRunsAtOnce(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	id := submit(t, q, Submission{UniqueKey: "k"})
	leaveRunning(t, q, id, "host-a", 1, 0)
	began := make(chan Delivery, 1)
	from := time.Now()
	start(t, q, func(_ context.Context, d Delivery) (json.RawMessage, error) {
		began <- d
		return nil, nil
	})
	if d := receive(t, began, "the run"); d.ID != id || d.Attempt != 1 {
		t.Errorf("got %+v", d)
	}
	if took := time.Since(from); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	awaitState(t, q, id, Completed)
}

// The worker's own number of attempts counts for recovery too.
func TestRecoverWithTheWorkersAttempts(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	id := submit(t, q, Submission{})
	leaveRunning(t, q, id, "host-a", 2, 20)
	startWith(t, q, map[string]WorkerConfig{"w": {MaxAttempts: 2}}, nothing)
	awaitState(t, q, id, Dead)
}

const childEnv = "WASMHOST_QUEUE_TEST_DB"

// childMain is a host that runs tasks until it is killed.
func childMain(path string) {
	db, err := dial(path)
	if err == nil {
		var q *Queue
		if q, err = Open(context.Background(), db, Config{HostID: "host-a"}); err == nil {
			err = q.Start(context.Background(), map[string]WorkerConfig{"w": {Concurrency: 4}}, func(ctx context.Context, d Delivery) (json.RawMessage, error) {
				d.Progress(1, 2)
				time.Sleep(time.Duration(slow*(5+rand.IntN(20))) * time.Millisecond)
				return json.RawMessage(`"child"`), nil
			})
		}
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}

// A host that is killed with SIGKILL again and again loses no task, and uses up
// none of its attempts.
func TestKill(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	q := open(t, path)
	const tasks, kills = 200 / slow, 4
	for range tasks {
		submit(t, q, Submission{MaxAttempts: 1})
	}
	for i := range kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || line != "ready\n" {
			t.Fatalf("child %d says %q, %v", i, line, err)
		}
		time.Sleep(time.Duration(20+rand.IntN(300)) * time.Millisecond) // the random moment
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := child.Wait(); err == nil {
			t.Fatalf("child %d ended by itself", i)
		}
	}
	running, err := q.List(t.Context(), Filter{States: []State{Running}})
	if err != nil {
		t.Fatal(err)
	}
	startWith(t, q, map[string]WorkerConfig{"w": {Concurrency: 8}}, nothing)
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		done, err := q.List(t.Context(), Filter{States: []State{Completed}, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if len(done) == tasks {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d tasks completed", len(done), tasks)
		}
	}
	for _, r := range running {
		got := task(t, q, r.ID)
		if len(got.Errors) == 0 || got.Errors[len(got.Errors)-1].Code != abi.Interrupted {
			t.Errorf("task %s was running at the last kill and has %+v", r.ID, got.Errors)
		}
	}
	if len(running) > 4 { // the child's concurrency: what had ended is known to have
		t.Errorf("%d tasks were running at the last kill", len(running))
	}
	var ok string
	if err := q.db.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&ok); err != nil || ok != "ok" {
		t.Errorf("integrity check: %q, %v", ok, err)
	}
}

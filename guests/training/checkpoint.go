package main

import (
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
)

// checkpoints is the collection of what unfinished tasks have come to, a row for
// each:
//
//	task_id     text, the key
//	digest      text: of the examples and options that it is for
//	epoch       integer: epochs done
//	state       blob: the trainer's
//	updated_at  text
const checkpoints = "training_checkpoints"

type checkpoint struct {
	digest string
	epoch  int64
	state  []byte
}

// readCheckpoint returns nil if the task has none.
func readCheckpoint(t *sdk.Task, handle string) (*checkpoint, error) {
	rows, err := t.Data.ListRows(abi.Query{
		Handle: handle, Collection: checkpoints, Columns: []string{"digest", "epoch", "state"},
		Where: []abi.Condition{{Column: "task_id", Op: abi.Equal, Value: t.ID}}, Limit: 1,
	})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	c := new(checkpoint)
	if c.digest, err = rows[0].Text("digest"); err != nil {
		return nil, err
	}
	if c.epoch, err = rows[0].Int("epoch"); err != nil {
		return nil, err
	}
	c.state, err = rows[0].Bytes("state")
	return c, err
}

// save is durable when it returns.
func (c *checkpoint) save(t *sdk.Task, handle string) error {
	b := sdk.NewBatch("task_id", "digest", "epoch", "state", "updated_at")
	b.Row().Text(t.ID).Text(c.digest).Int(c.epoch).Blob(c.state).Text(now())
	_, err := t.Data.UpsertRows(handle, checkpoints, b, "task_id")
	return err
}

func deleteCheckpoint(t *sdk.Task, handle string) error {
	b := sdk.NewBatch("task_id")
	b.Row().Text(t.ID)
	_, err := t.Data.DeleteRows(handle, checkpoints, b, "task_id")
	return err
}

func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000Z") }

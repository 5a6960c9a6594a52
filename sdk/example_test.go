package sdk_test

import (
	"fmt"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

// A main package has this in init, and an empty main.
func ExampleRegister() {
	sdk.Register(sdk.WorkerFunc(func(t *sdk.Task) error {
		name, err := t.Payload.StringOr("name", "world")
		if err != nil {
			return err
		}
		return t.Return(map[string]any{"greeting": "hello " + name})
	}))
}

func ExampleData_Rows() {
	longest := func(t *sdk.Task) error {
		rows, err := t.Data.Rows(abi.Query{
			Handle:     t.Handle("source", "primary"),
			Collection: "notes",
			Columns:    []string{"id", "body"},
			Where:      []abi.Condition{{Column: "body", Op: abi.NotNull}},
		})
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		var most int
		var id string
		for rows.Next() {
			body, err := rows.Row().Bytes("body")
			if err != nil {
				return err
			}
			if len(body) > most {
				most = len(body)
				if id, err = rows.Row().Text("id"); err != nil {
					return err
				}
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		return t.Return(map[string]any{"id": id, "length": most})
	}

	h := sdktest.New(new(testing.T)) // in a test: its own t
	h.Table("primary", "notes", []string{"id", "body"}).
		Insert("a", "short").
		Insert("b", nil).
		Insert("c", "a little longer")
	res, err := h.Run(sdk.WorkerFunc(longest), sdktest.TaskOf("longest", nil))
	fmt.Println(res.Value, err)
	// Output: map[id:c length:15] <nil>
}

func ExampleBatch() {
	stamp := func(t *sdk.Task) error {
		b := sdk.NewBatch("id", "body")
		b.Row().Text("a").Text("hello")
		b.Row().Text("b").Null()
		res, err := t.Data.UpsertRows("primary", "notes", b)
		if err != nil {
			return err
		}
		return t.Return(map[string]any{"written": res.Applied})
	}

	h := sdktest.New(new(testing.T)) // in a test: its own t
	h.Table("primary", "notes", []string{"id", "body"})
	res, err := h.Run(sdk.WorkerFunc(stamp), sdktest.TaskOf("stamp", nil))
	fmt.Println(res.Value, err)
	fmt.Println(h.Rows("primary", "notes"))
	// Output:
	// map[written:2] <nil>
	// [[a hello] [b <nil>]]
}

func ExampleCommands_EmitEvents() {
	work := func(t *sdk.Task) error {
		return t.Commands.EmitEvents(
			sdk.Event{Name: "tidy:step", Data: map[string]any{"n": 1}, Key: t.ID + ":1"},
			sdk.Event{Name: "tidy:step", Data: map[string]any{"n": 2}, Key: t.ID + ":2"},
		)
	}

	h := sdktest.New(new(testing.T)) // in a test: its own t
	for attempt := 1; attempt <= 2; attempt++ {
		_, err := h.Run(sdk.WorkerFunc(work), sdktest.Task{Attempt: attempt})
		fmt.Println("attempt", attempt, err)
	}
	for _, e := range h.Events() {
		fmt.Println(e.Name, e.Data)
	}
	// Output:
	// attempt 1 <nil>
	// attempt 2 <nil>
	// tidy:step map[n:1]
	// tidy:step map[n:2]
}

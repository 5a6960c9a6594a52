package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
	"github.com/wasmhost/wasmhost/sdk/embed/lora"
)

const (
	eventProgress = "training:progress"
	eventComplete = "training:complete"

	// heartbeat is how many batches pass between two signs of life.
	heartbeat = 16
)

// trainer is one attempt at one task.
type trainer struct {
	task *sdk.Task
	opt  options
	from int // epochs that an attempt before this one had done

	anew bool // it had done some with other examples, or in another configuration
}

// Train does one attempt at a task.
func Train(t *sdk.Task) error {
	opt, err := readOptions(t)
	if err != nil {
		return err
	}
	r := &trainer{task: t, opt: opt}
	made, err := readAdapter(t, opt.adapters, opt.id)
	if err != nil {
		return r.errorf("reading adapters: %w", err)
	}
	last, err := readCheckpoint(t, opt.adapters)
	if err != nil {
		return r.errorf("reading checkpoints: %w", err)
	}
	if made == nil || last == nil || last.digest != made.digest {
		if made, err = r.make(made, last); err != nil {
			return r.errorf("%w", err)
		}
	} // else an attempt before this one made it, and the examples may have changed since
	if err := r.finish(made); err != nil {
		return r.errorf("%w", err)
	}
	return nil
}

// make reads the examples, trains, and saves the adapter, unless it is there.
func (r *trainer) make(made *stored, last *checkpoint) (*stored, error) {
	x, err := readExamples(r.task, &r.opt)
	if err != nil {
		return nil, err
	}
	if made != nil {
		if made.digest != x.digest {
			return nil, taken(&r.opt)
		}
		return made, nil
	}
	s := &stored{digest: x.digest, metrics: metrics{
		Epochs: r.opt.lora.Epochs, BatchSize: r.opt.lora.Batch,
		LearningRate: r.opt.lora.LearningRate, Temperature: r.opt.lora.Temperature, Rows: x.n,
	}}
	if s.metrics.Before, err = lora.Evaluate(x.held, nil, r.opt.lora, r.alive(0)); err != nil {
		return nil, diverged(err)
	}
	l, err := r.train(x, last)
	if err != nil {
		return nil, diverged(err)
	}
	if s.adapter, err = l.Adapter(); err != nil {
		return nil, diverged(err)
	}
	s.metrics.TrainLoss = l.Loss()
	if s.metrics.After, err = lora.Evaluate(x.held, s.adapter, r.opt.lora, r.alive(l.Done())); err != nil {
		return nil, diverged(err)
	}
	return s.save(r.task, &r.opt)
}

// train does the epochs that are left.
func (r *trainer) train(x *examples, last *checkpoint) (*lora.Trainer, error) {
	l, err := lora.New(r.opt.lora, x.train)
	if err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "%w", err)
	}
	if last != nil {
		if r.anew = last.digest != x.digest; r.anew {
			r.task.Log.Warn("the examples or the options have changed since the last attempt: training anew", "epochs_lost", last.epoch)
		} else if err := l.SetState(last.state); err != nil {
			r.task.Log.Warn("the checkpoint cannot be used: training anew", "err", err)
			r.anew = true
		} else {
			r.from = l.Done()
			r.task.Log.Info("going on behind a checkpoint", "epochs", r.from)
		}
	}
	c := checkpoint{digest: x.digest}
	for l.Done() < r.opt.lora.Epochs {
		if err := l.Epoch(r.alive(l.Done())); err != nil {
			return nil, err
		}
		// The event first: after a kill between the two the epoch is done again, to
		// the same loss, and its event is not recorded again.
		if err := r.report(x.digest, l); err != nil {
			return nil, err
		}
		c.epoch, c.state = int64(l.Done()), l.AppendState(c.state[:0])
		if err := c.save(r.task, r.opt.adapters); err != nil {
			return nil, fmt.Errorf("saving the checkpoint: %w", err)
		}
		if err := r.task.Progress(c.epoch, int64(r.opt.lora.Epochs)); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// alive returns a function that tells the host now and then that the task goes on.
func (r *trainer) alive(epochs int) func() error {
	calls := 0
	return func() error {
		if calls++; calls%heartbeat != 0 {
			return nil
		}
		return r.task.Progress(int64(epochs), int64(r.opt.lora.Epochs))
	}
}

// diverged makes an error of the numbers one that trying again will not help.
func diverged(err error) error {
	if errors.Is(err, lora.ErrDiverged) {
		return sdk.Permanent(abi.Errorf(abi.Failed, "%w", err))
	}
	return err
}

// report tells of an epoch. Its key has the digest's beginning, since a task that
// begins anew tells of other epochs.
func (r *trainer) report(digest string, l *lora.Trainer) error {
	return r.emit(eventProgress, "progress:"+digest[:8]+":"+strconv.Itoa(l.Done()), map[string]any{
		"taskId": r.task.ID, "collection": r.opt.collection, "adapter": r.opt.id,
		"epoch": int64(l.Done()), "epochs": int64(r.opt.lora.Epochs), "loss": l.Loss(), "anew": r.anew,
	})
}

// finish tries the adapter, and tells of it. The checkpoint is deleted last, since
// by it another attempt knows the adapter for its own.
func (r *trainer) finish(made *stored) error {
	untested, err := verify(r.task, r.opt.id, made.adapter)
	if err != nil {
		return err
	}
	summary := r.summary(made, untested)
	if err := r.emit(eventComplete, "complete", summary); err != nil {
		return err
	}
	if err := deleteCheckpoint(r.task, r.opt.adapters); err != nil {
		return fmt.Errorf("deleting the checkpoint: %w", err)
	}
	return r.task.Return(summary)
}

func (r *trainer) summary(made *stored, untested string) map[string]any {
	m := &made.metrics
	summary := map[string]any{
		"taskId": r.task.ID, "collection": r.opt.collection, "adapter": r.opt.id, "model": modelPrefix + r.opt.id,
		"base_model": embed.Model, "dimension": int64(embed.Dim), "rank": int64(made.adapter.Rank()), "seed": r.opt.seed,
		"epochs": int64(m.Epochs), "rows": m.Rows.rows(), "examples": m.Rows.Train, "held_out": m.Rows.HeldOut,
		"empty": m.Rows.Empty, "not_text": m.Rows.NotText, "invalid_utf8": m.Rows.Invalid, "cut": m.Rows.Cut,
		"mrr_before": m.Before.MRR, "mrr_after": m.After.MRR, "top1_before": m.Before.Top1, "top1_after": m.After.Top1,
		"loss_before": m.Before.Loss, "loss_after": m.After.Loss, "train_loss": m.TrainLoss,
		"continued_from": int64(r.from), "anew": r.anew, "test": "equal",
	}
	if untested != "" {
		summary["test"], summary["untested"] = "untested", untested
	}
	return summary
}

func (r *trainer) emit(name, key string, data map[string]any) error {
	err := r.task.Commands.EmitEvents(sdk.Event{Name: name, Key: r.task.ID + ":" + key, Data: data})
	if err != nil {
		return fmt.Errorf("emitting %s: %w", name, err)
	}
	return nil
}

// errorf says which collection an error is about. The code is that of the error it
// wraps.
func (r *trainer) errorf(format string, args ...any) error {
	return fmt.Errorf("training on %s.%s: %w", r.opt.handle, r.opt.collection, fmt.Errorf(format, args...))
}

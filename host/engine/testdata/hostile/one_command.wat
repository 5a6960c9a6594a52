;; Calls one command and returns what it answered.
(module
  (import "wasmhost_v1" "command" (func $command (param i32 i32 i32 i32) (result i64)))
  (import "wasmhost_v1" "task_return" (func $task_return (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (local $r i64)
    (local.set $r (call $command (i32.const 0) (i32.const 11) (i32.const 512) (i32.const 256)))
    (drop (call $task_return (i32.const 512) (i32.wrap_i64 (local.get $r))))
    (i32.wrap_i64 (i64.shr_u (local.get $r) (i64.const 32))))
  (data (i32.const 0) "\81\a4name\a4ping"))

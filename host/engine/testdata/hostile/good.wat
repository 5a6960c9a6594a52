;; What a guest should be: takes the task, hands back "ok".
(module
  (import "wasmhost_v1" "task_return" (func $task_return (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (drop (call $task_return (i32.const 0) (i32.const 2)))
    (i32.const 0))
  (data (i32.const 0) "ok"))

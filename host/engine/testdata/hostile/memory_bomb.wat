;; Grows its memory page by page until that is refused, touches every page, and
;; returns how many there are.
(module
  (import "wasmhost_v1" "task_return" (func $task_return (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (local $pages i32) (local $i i32)
    (block $refused
      (loop $more
        (br_if $refused (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))
        (br $more)))
    (local.set $pages (memory.size))
    (loop $touch
      (i32.store8 (i32.mul (local.get $i) (i32.const 65536)) (i32.const 1))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $touch (i32.lt_u (local.get $i) (local.get $pages))))
    (i32.store (i32.const 0) (local.get $pages))
    (drop (call $task_return (i32.const 0) (i32.const 4)))
    (i32.const 0)))

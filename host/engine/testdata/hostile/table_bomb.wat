;; Doubles a table that declares no maximum until that is refused. Every element is
;; a real reference, so that every page of the table is written.
;; Returns how many elements it has.
(module
  (import "wasmhost_v1" "task_return" (func $task_return (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (loop $more
      (br_if $more (i32.ne (table.grow $t (ref.func $f) (table.size $t)) (i32.const -1))))
    (i32.store (i32.const 0) (table.size $t))
    (drop (call $task_return (i32.const 0) (i32.const 4)))
    (i32.const 0))
  (table $t 1 funcref)
  (elem declare func $f)
  (func $f))

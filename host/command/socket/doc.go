// Package socket serves Unix sockets on which programs of the same machine talk
// to the host: newline-delimited JSON, one object a line, in UTF-8.
//
// A task socket ([ServeTasks]) belongs to one worker. It understands two
// dialects and tells them apart by the fields of each line:
//
//	> {"command":"archive","task_id":"t1","collection":"chat_messages","source_handle":"primary","dest_handle":"archive","batch_size":1000}
//	< {"status":"queued","task_id":"t1","queue_position":1,"id":"17"}
//	> {"command":"ping"}
//	< {"status":"pong","uptime_seconds":12}
//
//	> {"id":"r1","type":"embed","timestamp":"…","payload":{…}}
//	< {"id":"…","type":"embed","timestamp":"…","payload":{…},"requestId":"r1","success":true}
//	< {"id":"…","type":"embed","timestamp":"…","payload":null,"requestId":"r1","success":false,"error":"…","errorType":"validation"}
//
// The first, the flat one, is answered in the order of the lines, as soon as the
// task is on disk. The second, the envelope, is answered when the task has
// ended, or after eight seconds with errorType timeout and the id of the task,
// which goes on; any number of such requests up to a bound may be in flight on a
// connection, and their replies come in any order. Its types ping, status and
// shutdown are about the worker itself, every other is a kind of task.
//
// A command socket ([ServeCommands]) calls commands by name:
//
//	> {"command":"tasks/submit","params":{…}}
//	< {"success":true,"result":…}
//	< {"success":false,"error":"not_found: …","code":"not_found"}
//
// Without an id the replies come in the order of the lines. A line may have an
// id, text or a number, which its reply then has too; such lines are worked on
// at the same time. [Call] is a client.
//
// Replies are ASCII: everything else is escaped, so that a reader who decodes
// chunk by chunk does not cut a character in two. Each is one write.
//
// # The file
//
// A socket is made in a private folder beside its path, given its owner and
// mode, and only then linked to the path, so it never accepts a client whom the
// mode would keep out. What a killed host left behind is replaced; a socket that
// somebody serves, and anything that is no socket, a symbolic link included, is
// left alone and is an error. [Server.Stop] removes the file if it still is the
// one that was made.
//
// # Clients that misbehave
//
// Each connection has its own goroutine, and nothing that one client does or
// leaves undone holds up another. A line is at most a MiB, nested at most 32
// deep, of at most 100,000 values, valid UTF-8, and must be complete ten seconds
// after it began; a reply must be taken within ten seconds. Lines that are
// complete but wrong get a typed error and the connection goes on; one that is
// too long, too slow or cut off gets it and the connection is closed. A client
// that half-closes still gets its replies. Connections, requests in flight on
// each, and the bytes that all of them make the host hold are bounded; a client
// beyond a bound is told so.
package socket

// Package uring is the backend on Linux's io_uring. It registers two rungs of it:
//
//   - full, for kernels from 6.1: completions are collected in the call that submits, one request serves all of a
//     listener's connections or all that a connection receives, and the kernel picks the buffer when data is there;
//   - basic, for older ones: a request for each accept and each receive, and for each buffer that goes back.
//
// What is there is found out by trying it, once per process, and never by the kernel's version.
//
// # How it works
//
// An operation is one request to the kernel after another: usually one, more where a result is short, where a multishot
// request ends, where the descriptor has to be waited for. Its final completion is reported when it has no request in the
// kernel any more, so that what its request points to, and the descriptor, may be reused from then on.
//
// A turn of Poll is one system call: it submits what has gathered and collects what is ready, and it does not tell Go's
// scheduler, which is what makes it cheap. Only where nothing is ready a second one follows, which may block and which
// the scheduler knows of.
//
// Opening a ring may wait: the kernel goes on counting a closed ring's memory for a while, and if RLIMIT_MEMLOCK leaves
// too little for the next one, it is tried again until a second after the last close.
package uring

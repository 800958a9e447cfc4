// Package filelock locks files between processes. The lock goes with the process, however it ends.
package filelock

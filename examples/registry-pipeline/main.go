// Command registry-pipeline shows the whole way of a change.
package main

func main() {}

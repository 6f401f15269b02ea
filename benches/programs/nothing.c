/* What it costs to start and end a process, and nothing else. */
int main(void) { return 0; }

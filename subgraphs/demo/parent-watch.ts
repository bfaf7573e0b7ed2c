/**
 * Loaded into every process of the demo with `--import`. Ends it when the process that started it is gone, even by
 * SIGKILL, which leaves nobody to clean up.
 */
if (process.connected) {
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel?.unref();
}

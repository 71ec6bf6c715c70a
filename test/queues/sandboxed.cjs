// A processor in a process of its own: it runs until it is told to stop, and says what it was told.
module.exports = async (job, _token, signal) => {
  await job.updateProgress('running');
  const alive = setInterval(() => {}, 1000);
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  clearInterval(alive);
  await job.updateProgress(`told: ${signal.reason}`);
  throw new Error(String(signal.reason));
};

// The pages that links in mail lead to. The token stands in the fragment, which no server sees, and is used up only when a
// person presses the button: a mail scanner that opens every link changes nothing.
const form = document.querySelector('form');
const outcome = document.querySelector('[role=status]');
const token = new URLSearchParams(location.hash.slice(1)).get('token');
history.replaceState(null, '', location.pathname); // the token leaves the address bar and the history

function say(text, isBad) {
  outcome.textContent = text;
  outcome.dataset.outcome = isBad ? 'bad' : 'good';
}

if (form.dataset.needs === 'token' && !token) {
  form.hidden = true;
  say('This link is not complete. Open it again from the mail.', true);
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = form.querySelector('button');
  button.disabled = true;
  const body = Object.fromEntries(new FormData(form));
  if (token) body.token = token;
  try {
    const response = await fetch(form.dataset.posts, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (response.ok) {
      form.hidden = true;
      say(form.dataset.done, false);
    } else {
      const problem = await response.json();
      say(problem.errors ? problem.errors.map(({ detail }) => detail).join(' ') : `${problem.title}.`, true);
    }
  } catch {
    say('The service cannot be reached. Try again in a moment.', true);
  } finally {
    button.disabled = false;
  }
});

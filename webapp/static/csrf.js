// The token that a form's request needs: the cookie's, since somebody may have signed in again in another tab.
export function tokenOf(form) {
  const cookie = /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie);
  return cookie?.[1] ?? form.elements.csrfmiddlewaretoken.value;
}

// The token that a form's request needs: the cookie's, since somebody may have signed in again in another tab.
export function tokenOf(form) {
  const start = `${document.documentElement.dataset.csrf}=`;
  const cookie = document.cookie.split("; ").find((one) => one.startsWith(start));
  return cookie?.slice(start.length) ?? form.elements.csrfmiddlewaretoken.value;
}

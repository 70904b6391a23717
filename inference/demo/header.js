// The link to a card on this page opens it.
element.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  const card = link && document.querySelector(link.getAttribute("href"));
  if (!card) return;
  event.preventDefault();
  const button = card.querySelector("button");
  if (!button.classList.contains("open")) button.click();
  card.scrollIntoView({ behavior: "smooth" });
  button.focus({ preventScroll: true });
});

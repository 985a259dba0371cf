"""What shops of other languages call their columns. Names are without case, accents and punctuation.

A person or a thing is found with what is put before or after it: Kundennummer, id_klienta, código de producto.
"""

from __future__ import annotations

import re
import unicodedata

NOUNS: dict[str, dict[str, tuple[str, ...]]] = {
    "user_id": {
        "German": ("kunde", "kunden", "kd", "nutzer", "benutzer", "mitglied", "mitglieds", "kaufer", "kaeufer",
                   "debitor", "debitoren", "besucher"),
        "Polish": ("klient", "klienta", "uzytkownik", "uzytkownika", "nabywca", "nabywcy", "kupujacy", "kupujacego"),
        "French": ("client", "utilisateur", "acheteur", "membre", "abonne", "usager"),
        "Spanish": ("cliente", "usuario", "comprador", "socio"),
        "Italian": ("cliente", "utente", "acquirente", "socio"),
        "Portuguese": ("cliente", "usuario", "utilizador", "comprador"),
        "Dutch": ("klant", "klanten", "gebruiker", "gebruikers", "koper", "kopers"),
    },
    "item_id": {
        "German": ("artikel", "art", "produkt", "waren", "material", "buch", "film"),
        "Polish": ("produkt", "produktu", "towar", "towaru", "artykul", "artykulu", "ksiazka", "ksiazki", "filmu"),
        "French": ("produit", "article", "livre"),
        "Spanish": ("producto", "articulo", "libro", "pelicula"),
        "Italian": ("prodotto", "articolo", "libro"),
        "Portuguese": ("produto", "artigo", "livro", "filme"),
        "Dutch": ("artikel", "product", "producten", "boek"),
    },
}  # fmt: skip
ALONE = 5
"""From how many letters on such a name says it without a word for number: "Kunde", not "Kd" or "Art"."""
NUMBER = (
    "id|nr|no|num|nummer|numer|numero|number|code|cod|codigo|codice|kod|kode|ref|referenz|reference|referencia|"
    "referentie|referencja|riferimento|kennung|schlussel|schluessel|identifiant|identificador|identificativo|"
    "identyfikator"
)
LINK = "de|del|dela|della|dello|do|da|du|des|di|van"

PLAIN: dict[str, dict[str, tuple[str, ...]]] = {
    "weight": {
        "German": ("bewertung", "sterne", "menge", "anzahl", "stuckzahl", "stueckzahl"),
        "Polish": ("ocena", "ilosc", "liczba", "liczbasztuk"),
        "French": ("note", "evaluation", "quantite", "qte"),
        "Spanish": ("calificacion", "valoracion", "puntuacion", "cantidad"),
        "Italian": ("valutazione", "voto", "punteggio", "quantita"),
        "Portuguese": ("avaliacao", "nota", "classificacao", "quantidade"),
        "Dutch": ("beoordeling", "waardering", "aantal", "hoeveelheid"),
    },
    "review": {
        "German": ("rezension", "bewertungstext", "kommentar"),
        "Polish": ("recenzja", "opinia", "komentarz"),
        "French": ("avis", "commentaire", "critique"),
        "Spanish": ("resena", "opinion", "comentario"),
        "Italian": ("recensione", "commento"),
        "Portuguese": ("resenha", "opiniao", "comentario"),
        "Dutch": ("recensie", "opmerking"),
    },
    "title": {
        "German": ("titel", "bezeichnung", "artikelbezeichnung", "produktbezeichnung", "artikelname", "produktname",
                   "produkttitel", "artikeltext"),
        "Polish": ("tytul", "nazwaproduktu", "nazwatowaru", "nazwaartykulu", "nazwa"),
        "French": ("titre", "libelle", "designation", "nomduproduit", "nomproduit", "intitule"),
        "Spanish": ("titulo", "nombredelproducto", "nombreproducto", "denominacion"),
        "Italian": ("titolo", "nomeprodotto", "nomedelprodotto", "denominazione"),
        "Portuguese": ("titulo", "nomedoproduto", "nomeproduto", "designacao"),
        "Dutch": ("titel", "productnaam", "artikelnaam", "omschrijving"),
    },
}  # fmt: skip
"""Names that say it all; best first, and ratings before quantities."""

ORDERS: dict[str, tuple[str, ...]] = {
    "English": ("order", "orders", "invoice", "transaction", "receipt", "basket", "row", "line"),
    "German": ("bestell", "bestellung", "bestellungs", "auftrag", "auftrags", "rechnung", "rechnungs", "beleg",
               "vorgang", "vorgangs", "zeile", "zeilen", "position", "positions"),
    "Polish": ("zamowienie", "zamowienia", "faktura", "faktury", "paragon", "paragonu"),
    "French": ("commande", "facture", "ligne"),
    "Spanish": ("pedido", "factura", "linea"),
    "Italian": ("ordine", "fattura", "riga"),
    "Portuguese": ("pedido", "encomenda", "fatura", "linha"),
    "Dutch": ("bestelling", "bestel", "factuur", "regel"),
}  # fmt: skip
"""What is numbered and is neither a user nor an item."""

OTHER_TIMES: dict[str, tuple[str, ...]] = {
    "German": ("lieferdatum", "versanddatum", "geburtsdatum", "geburtstag", "erscheinungsdatum", "anmeldedatum",
               "registrierungsdatum", "registriert", "erscheint", "geliefert", "kundeseit"),
    "Polish": ("urodzenia", "dostawy", "wysylki", "rejestracji", "premiery", "wydania"),
    "French": ("naissance", "livraison", "expedition", "inscription", "parution", "sortie"),
    "Spanish": ("nacimiento", "entrega", "envio", "registro", "lanzamiento", "publicacion"),
    "Italian": ("nascita", "consegna", "spedizione", "registrazione", "uscita", "pubblicazione"),
    "Portuguese": ("nascimento", "entrega", "envio", "cadastro", "registo", "lancamento", "publicacao"),
    "Dutch": ("geboortedatum", "leverdatum", "bezorgdatum", "verzenddatum", "registratiedatum", "verschijningsdatum"),
}  # fmt: skip
"""Words of a time that may be any but that of the choice."""

_UNLIKE = str.maketrans({"ß": "ss", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "œ": "oe"})


def folded(name: str) -> str:
    """``name`` with its letters as ASCII has them: "Stückzahl" -> "Stuckzahl", "Größe" -> "Grosse"."""
    apart = unicodedata.normalize("NFKD", name.translate(_UNLIKE))
    return "".join(c for c in apart if not unicodedata.combining(c))


def names(table: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names of all languages, those that stand first in any before the others."""
    ordered = [(place, name) for words in table.values() for place, name in enumerate(words)]
    return tuple(dict.fromkeys(name for _, name in sorted(ordered, key=lambda entry: entry[0])))


def numbered(table: dict[str, tuple[str, ...]]) -> re.Pattern[str]:
    """A plain name that counts one of these: a number before it, or after it."""
    noun = "|".join(names(table))
    return re.compile(rf"(?:{NUMBER})(?:{LINK})?(?:{noun})|(?:{noun})(?:{NUMBER})")

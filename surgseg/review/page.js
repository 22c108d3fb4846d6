fetch("list").then((answer) => answer.json()).then((list) => { document.title = list.folder; });
